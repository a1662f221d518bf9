"""Events of the workload API: the gateway's own server certificate."""

from dataclasses import dataclass
from typing import ClassVar

from gateway.observe.events import Event, Level

_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class CertificateIssued(Event):
    """IoT Edge issued the gateway's server certificate, the first or a new one."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_issued_certificates_total"

    common_name: str
    valid_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"server certificate for '{self.common_name}' issued, valid for {self.valid_s / _DAY_S:.1f} days"


@dataclass(frozen=True, slots=True)
class CertificateTryFailed(Event):
    """IoT Edge did not issue a server certificate now; the next try comes after a back-off."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_failed_certificate_requests_total"

    reason: str
    delay_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"no server certificate: {self.reason}. Next try in {self.delay_s:.0f} s"


@dataclass(frozen=True, slots=True)
class CertificateRunsOut(Event):
    """The server certificate ends soon, or has ended, and no new one can be had."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_certificate_expiry_alarms_total"

    left_s: float
    reason: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        when = f"ends in {self.left_s / 3600:.0f} hours" if self.left_s > 0 else "has ended: devices cannot connect"
        return f"the server certificate {when}, and no new one can be had: {self.reason}"
