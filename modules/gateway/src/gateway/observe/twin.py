"""Events of twins: what was sent late, what was refused, and what the disk did not take."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class TwinPlace(Enum):
    """Where a twin was read, or a report went."""

    CLOUD = "cloud"
    MIRROR = "mirror"
    """What the gateway keeps of it, for while the cloud is away."""


@dataclass(frozen=True, slots=True)
class TwinRead(Event):
    """A device has read its twin."""

    METRIC: ClassVar[str] = "gateway_read_twins_total"
    LABELS: ClassVar[tuple[str, ...]] = ("source",)

    identity: str
    source: TwinPlace

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"'{self.identity}' has read its twin: {self.source.value}"


@dataclass(frozen=True, slots=True)
class TwinReported(Event):
    """A device has reported properties: the cloud has them, or the mirror until it is back."""

    METRIC: ClassVar[str] = "gateway_reported_twins_total"
    LABELS: ClassVar[tuple[str, ...]] = ("target",)

    identity: str
    target: TwinPlace

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"'{self.identity}' has reported properties: {self.target.value}"


@dataclass(frozen=True, slots=True)
class TwinReportsSent(Event):
    """Reported properties that had waited for the cloud were sent."""

    METRIC: ClassVar[str] = "gateway_sent_twin_reports_total"

    identity: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"the reported properties of '{self.identity}' that had waited were sent"


@dataclass(frozen=True, slots=True)
class TwinReportRefused(Event):
    """Reported properties that had been acknowledged while the cloud was away were refused by it; they are dropped."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_refused_twin_reports_total"

    identity: str
    status: int
    detail: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the cloud refused the reported properties of '{self.identity}' that had waited for it (status "
            f"{self.status}: {self.detail}): they are dropped. Have the device report again"
        )


@dataclass(frozen=True, slots=True)
class TwinNotKept(Event):
    """A twin could not be written: a report was refused, or what is answered while the cloud is away stays older."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unkept_twins_total"

    identity: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"the twin of '{self.identity}' was not kept: {self.error}"


@dataclass(frozen=True, slots=True)
class TwinChangeUnreadable(Event):
    """The cloud sent a twin, or a change of one, that cannot be understood; it was not used."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unreadable_twins_total"

    identity: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"what the cloud sent as the twin of '{self.identity}' cannot be understood ({self.error}): not used"


@dataclass(frozen=True, slots=True)
class TwinDamaged(Event):
    """A twin on disk could not be read and was dropped; reports of it that waited for the cloud are lost."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_damaged_twins_total"

    identity: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the twin of '{self.identity}' in twins.db cannot be read ({self.error}) and was dropped: it is read from "
            "the cloud again, and reports that waited are lost. Check the disk"
        )


@dataclass(frozen=True, slots=True)
class TwinsSetAside(Event):
    """The file of twins could not be understood; it was set aside and a new one begun."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_set_aside_twin_files_total"

    path: str
    error: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the file of twins could not be understood ({self.error}) and is now {self.path}; delete it when done "
            "with. Twins are read from the cloud again; reports that waited for the cloud are lost. Check the disk"
        )


@dataclass(frozen=True, slots=True)
class TwinsNotEncrypted(Event):
    """Twins are kept as they are, for there is no workload API to keep a key."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_plain_twin_files_total"

    path: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"twins are kept in {self.path} without encryption: there is no workload API here. Only the gateway's user "
            "may read the file"
        )


@dataclass(frozen=True, slots=True)
class TwinsNotOpened(Event):
    """The file of twins cannot be used now; requests to twins are answered 503, and it is tried again."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_failed_twin_openings_total"

    reason: str
    delay_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"twins are not served: {self.reason}. Next try in {self.delay_s:.0f} s"
