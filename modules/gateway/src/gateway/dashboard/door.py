"""The door of the gateway's page: its names and words, and what is reported of who comes."""

from collections.abc import Callable
from typing import Final

from edgepage.guard import House, Refusal
from gateway.observe.events import Event
from gateway.observe.page import PageEntered, PageRefusal, PageRefused

HOME: Final = "/"
CLAIMS: Final = "/claims"
HOUSE: Final = House(
    name="Gateway",
    cookie="gateway-page",
    home=HOME,
    names="127.0.0.1, localhost and GATEWAY_METRICS_ADDRESS",
    ending="Run gateway page where the gateway runs: it shows the address to open.",
    open_to_all=frozenset({"/metrics", "/healthz/live", "/healthz/ready"}),
)


class Reporter:
    """Tells as events what happens at the door; implements `edgepage.guard.Witness`."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        self._emit = emit

    def entered(self, address: str) -> None:
        """See Witness."""
        self._emit(PageEntered(address))

    def refused(self, address: str, refusal: Refusal) -> None:
        """See Witness."""
        self._emit(PageRefused(address, PageRefusal(refusal.value)))
