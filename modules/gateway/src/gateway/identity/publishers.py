"""Who may publish in Event Hubs' form: the hubs' file, and the judge of requests.

Whatever is unknown costs the same work as what is known: a rule that is not there is checked against decoys. What the
token is for, its time and revocation are looked at only after its signature is good.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.http.publisher import PublisherRequest, read_audience
from edgewire.iothub.ids import is_id
from edgewire.iothub.limits import TOKEN_SKEW_S
from edgewire.iothub.sas import Sas
from edgewire.message import Identity, identity
from gateway.identity.limiter import FailureLimiter
from gateway.identity.locked_file import Stamp
from gateway.identity.publisher_hubs import Hub, Hubs, PublishersError, read_hubs, write_hubs
from gateway.identity.registry import Registry
from gateway.identity.shared_file import Followed, SharedFile
from gateway.observe.events import Event
from gateway.observe.publishers import PublisherRefusal, PublishersUnreadable

PUBLISHERS_FILE: Final = "publishers.json"
_FILE: Final = SharedFile(empty=Hubs(), parse=read_hubs, write=write_hubs, problem=PublishersError, what="hubs")


@dataclass(frozen=True, slots=True)
class NotAPublisher:
    """Not let in. `hold_s`: how long the answer is held back, so that guessing is slow."""

    reason: PublisherRefusal
    hold_s: float = 0.0


class PublisherBook:
    """The hubs in `path`, as they were at the last `reload`; no file is no hubs.

    A file that is gone or cannot be used is reported once, and what was known stays in force: revocations above all.
    """

    __slots__ = ("_emit", "_file", "_path", "hubs")

    def __init__(self, path: Path, emit: Callable[[Event], None]) -> None:
        self._path = path
        self._emit = emit
        self._file = Followed(_FILE, path, lambda why: emit(PublishersUnreadable(why)))
        self.hubs = Hubs()

    def reload(self) -> None:
        """Follow the file, if its stamp is another."""
        hubs = self._file.news()
        if hubs is None:
            return
        if self._file.stamp is None:
            self._emit(PublishersUnreadable(f"{self._path} is gone; put it back, or add a hub to begin a new one"))
        else:
            self.hubs = hubs


def read_publishers(path: Path) -> tuple[Hubs, Stamp | None]:
    """The hubs in the file, and the stamp of just these bytes. Raises LockedFileError."""
    return _FILE.read(path)


def edit_publishers(path: Path, change: Callable[[Hubs], Hubs]) -> Hubs:
    """Change the file by `change`; see `SharedFile.edit`."""
    return _FILE.edit(path, change)


class PublisherDoor:
    """Judges requests of publishers by the hubs' file in `data` and the registry.

    `names`: those of the gateway itself. `clock_floor` gives a time that has passed for certain.
    """

    __slots__ = ("_book", "_clock_floor", "_decoy", "_limiter", "_names", "_registry", "_skew_s")

    def __init__(
        self,
        data: Path,
        names: Iterable[str],
        registry: Registry,
        emit: Callable[[Event], None],
        *,
        skew_s: float = TOKEN_SKEW_S,
        clock_floor: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._book = PublisherBook(data / PUBLISHERS_FILE, emit)
        self._names = frozenset(map(sas.host_of, names))
        self._registry = registry
        self._skew_s = skew_s
        self._clock_floor = clock_floor
        self._limiter = FailureLimiter()
        # Random, so that nobody can sign with it: what has no keys is checked against it.
        self._decoy = os.urandom(32), os.urandom(32)

    def is_open(self) -> bool:
        """Whether there is any hub to send to."""
        self._book.reload()
        return bool(self._book.hubs.by_name)

    def judge(
        self, request: PublisherRequest, host: str, token: str | None, *, address: str, now: float
    ) -> Identity | NotAPublisher:
        """The device that a publisher is, if its token is good; what good ones do is never held back."""
        self._book.reload()
        self._registry.reload()
        who = identity(request.publisher or request.hub)
        verdict = self._judge(request, sas.host_of(host), token, max(now, self._clock_floor()))
        if isinstance(verdict, Identity):
            self._limiter.succeeded(address, who)
            return verdict
        hold_s = self._limiter.failed(address, who, now)
        return NotAPublisher(PublisherRefusal.THROTTLED, hold_s) if hold_s else NotAPublisher(verdict)

    def judge_again(self, request: PublisherRequest) -> Identity | NotAPublisher:
        """Whether a publisher that was let in a moment ago still may send: its token is not looked at again."""
        self._book.reload()
        self._registry.reload()
        hub = self._book.hubs.by_name.get(request.hub)
        verdict = PublisherRefusal.UNKNOWN_RULE if hub is None else self._device_of(hub, request)
        return verdict if isinstance(verdict, Identity) else NotAPublisher(verdict)

    def _judge(self, request: PublisherRequest, host: str, text: str | None, now: float) -> Identity | PublisherRefusal:
        if not text:
            return PublisherRefusal.NO_TOKEN
        try:
            token = sas.parse(text)
            audience = read_audience(token)
        except ProtocolError:
            return PublisherRefusal.MALFORMED_TOKEN
        hub = self._book.hubs.by_name.get(request.hub)
        rule = None if hub is None else hub.rule(token.key_name)
        is_signed = sas.is_signed_by(token, self._decoy if rule is None else rule.keys)
        if hub is None or rule is None:
            return PublisherRefusal.UNKNOWN_RULE
        if not is_signed:
            return PublisherRefusal.WRONG_KEY
        names = self._names.union(hub.hosts)
        if host not in names:
            return PublisherRefusal.NOT_OURS
        if audience.host not in names or not audience.covers(request):
            return PublisherRefusal.FOREIGN_AUDIENCE
        return self._judge_signed(hub, request, token, now)

    def _judge_signed(self, hub: Hub, request: PublisherRequest, token: Sas, now: float) -> Identity | PublisherRefusal:
        """The rest, of a token whose signature is good."""
        return PublisherRefusal.EXPIRED if now >= token.expires_at + self._skew_s else self._device_of(hub, request)

    def _device_of(self, hub: Hub, request: PublisherRequest) -> Identity | PublisherRefusal:
        """Who a publisher is here, if it may send."""
        if request.publisher in hub.revoked:
            return PublisherRefusal.REVOKED
        device = hub.device if request.publisher is None else hub.device_prefix + request.publisher
        if not device:
            return PublisherRefusal.NO_PUBLISHER
        if not is_id(device):
            return PublisherRefusal.UNFIT_ID
        entry = self._registry.find(identity(device))
        return PublisherRefusal.DISABLED if entry is not None and not entry.enabled else identity(device)
