"""What the stand-in does wrong while a gateway sends, and how it comes back."""

from standin.app import StandIn


def drop(hub: StandIn) -> None:
    """Cut all connections, once."""
    hub.drop_connections()


def refuse(hub: StandIn) -> None:
    """Cut all connections and take none."""
    hub.refuse_connections()
    hub.drop_connections()


def stall(hub: StandIn) -> None:
    """Stay connected, answer nothing."""
    hub.stall()


def back(hub: StandIn) -> None:
    """Be well again, on new connections."""
    hub.behave()
    hub.drop_connections()
