"""Events of the gateway's life: start, stop, what it reloaded, what ended it."""

from dataclasses import dataclass
from typing import ClassVar

from gateway.observe.events import Event, Level


@dataclass(frozen=True, slots=True)
class GatewayStarted(Event):
    """The gateway takes devices."""

    LEVEL: ClassVar[Level] = Level.INFO

    version: str
    listeners: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"gateway {self.version} takes devices: {self.listeners}"


@dataclass(frozen=True, slots=True)
class GatewayStopped(Event):
    """The gateway has stopped; what it acknowledged is on disk."""

    LEVEL: ClassVar[Level] = Level.INFO

    why: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"gateway stopped: {self.why}; everything acknowledged is on disk"


@dataclass(frozen=True, slots=True)
class ClockJumped(Event):
    """The machine's clock was set while the gateway ran; tokens of connected devices were judged again at once."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_clock_jumps_total"

    by_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        way = "ahead" if self.by_s > 0 else "back"
        return (
            f"the clock was set {way} by {abs(self.by_s):,.0f} s: devices whose tokens have expired by it are "
            "disconnected, and times to live count by it from now on"
        )


@dataclass(frozen=True, slots=True)
class LatestTimeNotKept(Event):
    """The latest time that has passed could not be written; only a restart by a clock set back would miss it."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_latest_time_failures_total"

    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the time could not be kept ({self.error}): should the clock be set back over a restart, tokens that "
            "have expired would count again for as long. Check the disk"
        )


@dataclass(frozen=True, slots=True)
class CertificateReloaded(Event):
    """The certificate files were changed; new connections get the new certificate, others keep theirs."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_reloaded_certificates_total"

    left_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"server certificate reloaded, valid for {self.left_s / 86_400:.1f} days; new connections get it"


@dataclass(frozen=True, slots=True)
class TrustBundleReloaded(Event):
    """The authorities of devices' certificates were changed; the next logins are judged by the new ones."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_reloaded_trust_bundles_total"

    source: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.source} was changed and is in force: the next logins by certificate are judged by it"


@dataclass(frozen=True, slots=True)
class CertificateUnusable(Event):
    """Certificate files or a trust bundle were changed into something that cannot be used; the old stay in force."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_unusable_certificates_total"

    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return self.error


@dataclass(frozen=True, slots=True)
class ConstrainedCertificateUnfit(Event):
    """The certificate of the listeners for small boards is one that some or all of them cannot take."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unfit_certificates_total"

    problem: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"the certificate for small boards: {self.problem}"


@dataclass(frozen=True, slots=True)
class ControlSocketNotOpened(Event):
    """The control socket cannot be opened: commands cannot reach this gateway; all else goes on."""

    LEVEL: ClassVar[Level] = Level.WARNING

    why: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return self.why
