"""Events of the settings document: taken, refused, kept, reported."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class SettingsSource(Enum):
    """Where a settings document came from."""

    TWIN = "twin"
    """Desired properties of the gateway's module."""
    FILE = "file"
    """GATEWAY_SETTINGS_FILE."""
    LAST_GOOD = "lastGood"
    """settings.json, kept from an earlier run."""
    DEFAULT = "default"
    """Nobody has set anything yet."""


@dataclass(frozen=True, slots=True)
class SettingsApplied(Event):
    """A settings document was found good as a whole, and is in force."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_applied_settings_total"
    LABELS: ClassVar[tuple[str, ...]] = ("source",)

    source: SettingsSource
    version: int | None
    routes: int
    warnings: int

    def sentence(self) -> str:
        """What a person reads in the log."""
        version = "" if self.version is None else f" version {self.version}"
        warnings = f"; {self.warnings} warnings, see the reported properties" if self.warnings else ""
        return f"settings{version} from {self.source.value} in force: {self.routes} routes{warnings}"


@dataclass(frozen=True, slots=True)
class SettingsRefused(Event):
    """A settings document is not good as a whole; the last good one stays in force."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_refused_settings_total"
    LABELS: ClassVar[tuple[str, ...]] = ("source",)

    source: SettingsSource
    version: int | None
    problems: tuple[str, ...]

    def sentence(self) -> str:
        """What a person reads in the log."""
        version = "" if self.version is None else f" version {self.version}"
        more = f" (and {len(self.problems) - 1} more)" if len(self.problems) > 1 else ""
        return (
            f"settings{version} from {self.source.value} refused, those in force stay: {self.problems[0]}{more}. "
            "Correct and send them again; `gateway check` tries them first"
        )


@dataclass(frozen=True, slots=True)
class LastGoodUnreadable(Event):
    """The settings kept from an earlier run cannot be used; the default is in force until new ones come."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_unreadable_kept_settings_total"

    path: str
    reason: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the settings kept in {self.path} cannot be used: {self.reason}. Until the twin or the settings file "
            "brings new ones, everything goes to $upstream"
        )


@dataclass(frozen=True, slots=True)
class LastGoodNotSaved(Event):
    """The settings in force could not be kept; a restart without the cloud would begin with older ones."""

    LEVEL: ClassVar[Level] = Level.ERROR
    METRIC: ClassVar[str] = "gateway_unsaved_settings_total"

    path: str
    reason: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return (
            f"the settings in force could not be kept in {self.path}: {self.reason}. They stay in force; a restart "
            "while the cloud is away would begin with older ones"
        )


@dataclass(frozen=True, slots=True)
class SettingsFileUnreadable(Event):
    """GATEWAY_SETTINGS_FILE is not there, or not readable; the last good settings stay in force."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_unreadable_settings_files_total"

    path: str
    reason: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"GATEWAY_SETTINGS_FILE {self.path} cannot be read: {self.reason}. The settings in force stay"


@dataclass(frozen=True, slots=True)
class TwinTryFailed(Event):
    """The module twin could not be read, or the report not be sent; it is tried again."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_failed_twin_requests_total"

    reason: str
    delay_s: float

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"the module twin could not be synchronised: {self.reason}. Next try in {self.delay_s:.0f} s"
