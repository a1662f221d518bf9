"""Events of the page: who was let in, what was done there, what was refused."""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from gateway.observe.events import Event, Level


class PageRefusal(Enum):
    """Why a request to the page was refused."""

    WRONG_TOKEN = "wrong_token"  # noqa: S105 - a reason, no password
    """A login with another token than that of now."""
    WRONG_COOKIE = "wrong_cookie"
    """A login that counts no more, or never did."""
    FOREIGN_HOST = "foreign_host"
    """Asked for under a name that is not this machine's: somebody's name was made to lead here."""
    FOREIGN_ORIGIN = "foreign_origin"
    """Something was to be changed by a page of somebody else."""


_ADVICE = {
    PageRefusal.WRONG_TOKEN: "its token is not, or no longer, the one that `gateway page` shows",
    PageRefusal.WRONG_COOKIE: "its login counts no more; `gateway page` shows the address to log in at",
    PageRefusal.FOREIGN_HOST: (
        "it asked for a host that is neither of loopback nor GATEWAY_METRICS_ADDRESS: another site's name may have "
        "been made to lead here"
    ),
    PageRefusal.FOREIGN_ORIGIN: "the page of another site sent a form here; nothing was changed",
}


class PageAction(Enum):
    """What was done on the page."""

    CODE_MADE = "code_made"
    CODE_REVOKED = "code_revoked"


class DeviceAction(Enum):
    """What was done to a device on the page."""

    MESSAGE_SENT = "message_sent"
    METHOD_CALLED = "method_called"
    TWIN_EDITED = "twin_edited"


class DeviceDeed(Enum):
    """What became of it."""

    DONE = "done"
    REFUSED = "refused"
    """It could not be done: the page was told why."""


_TO_DEVICE = {
    DeviceAction.MESSAGE_SENT: "a message was sent to",
    DeviceAction.METHOD_CALLED: "a method was called of",
    DeviceAction.TWIN_EDITED: "desired properties were changed in the twin of",
}
_DONE = {PageAction.CODE_MADE: "made", PageAction.CODE_REVOKED: "revoked"}


@dataclass(frozen=True, slots=True)
class PageEntered(Event):
    """Somebody logged in at the page with its token."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_page_logins_total"

    address: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"{self.address} logged in at the page; `gateway page --new` would end that"


@dataclass(frozen=True, slots=True)
class PageRefused(Event):
    """A request to the page was refused; nothing was shown and nothing changed."""

    LEVEL: ClassVar[Level] = Level.WARNING
    METRIC: ClassVar[str] = "gateway_refused_page_requests_total"
    LABELS: ClassVar[tuple[str, ...]] = ("reason",)

    address: str
    reason: PageRefusal

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"the page refused {self.address}: {_ADVICE[self.reason]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageUsed(Event):
    """A code was made or revoked on the page. `code` is its name."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_page_actions_total"
    LABELS: ClassVar[tuple[str, ...]] = ("action",)

    address: str
    action: PageAction
    code: str

    def sentence(self) -> str:
        """What a person reads in the log."""
        return f"code '{self.code}' was {_DONE[self.action]} on the page, from {self.address}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDeviceUsed(Event):
    """Something was sent to a device from the page, or was to be. What it was is not written down."""

    LEVEL: ClassVar[Level] = Level.INFO
    METRIC: ClassVar[str] = "gateway_page_device_actions_total"
    LABELS: ClassVar[tuple[str, ...]] = ("action", "outcome")

    address: str
    action: DeviceAction
    identity: str
    outcome: DeviceDeed

    def sentence(self) -> str:
        """What a person reads in the log."""
        end = "" if self.outcome is DeviceDeed.DONE else ", without success"
        return f"on the page, from {self.address}, {_TO_DEVICE[self.action]} '{self.identity}'{end}"
