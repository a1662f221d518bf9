"""Events of configured endpoints: Event Hubs and others that routes name by `INTO Endpoint("name")`."""

from dataclasses import dataclass
from typing import ClassVar

from gateway.observe.events import Event, Level
from gateway.observe.upstream import LinkFault


@dataclass(frozen=True, slots=True)
class EndpointUp(Event):
    """The link to an endpoint stands."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_endpoint_connects_total"

    endpoint: str
    took_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"connected to the endpoint '{self.endpoint}' after {self.took_s:.1f} s"


@dataclass(frozen=True, slots=True)
class EndpointTryFailed(Event):
    """A try to connect to an endpoint failed; the next one comes after a back-off."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_endpoint_failed_connects_total"
    LABELS: ClassVar[tuple[str, ...]] = ("fault",)

    fault: LinkFault
    endpoint: str
    reason: str
    failures: int
    delay_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"cannot connect to the endpoint '{self.endpoint}' (try {self.failures}): {self.reason}. Its messages wait "
            f"in the store; next try in {self.delay_s:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class EndpointLost(Event):
    """The link to an endpoint stood and does not any more. What was in flight is sent again, with the same ids."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_endpoint_drops_total"
    LABELS: ClassVar[tuple[str, ...]] = ("fault",)

    fault: LinkFault
    endpoint: str
    reason: str
    in_flight: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"link to the endpoint '{self.endpoint}' lost: {self.reason}. {self.in_flight} messages in flight will be "
            "sent again"
        )


@dataclass(frozen=True, slots=True)
class EndpointLinkAbandoned(Event):
    """The client did not shut a link down in time. It is left to itself and a new one is built."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_endpoint_abandoned_links_total"

    endpoint: str
    waited_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the client of the endpoint '{self.endpoint}' did not shut down its link within {self.waited_s:.0f} s; it "
            "is left to itself and a new one is built. Nothing is lost"
        )


@dataclass(frozen=True, slots=True)
class EndpointWithoutSettings(Event):
    """Messages wait for an endpoint that the settings do not name any more."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_endpoints_without_settings_total"

    endpoint: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"messages may wait for the endpoint '{self.endpoint}', which the settings do not name any more. They go "
            'when it is named again under "endpoints", or at the end of their time to live'
        )
