"""Firmware in the running gateway: nothing is loaded of it until there is a folder of firmware in the data folder."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgewire.message import Identity
from gateway.app.control import QuestionError
from gateway.dispatch.methods import Methods
from gateway.dispatch.twin_desk import NoTwins, TwinDesk
from gateway.observe.events import Event

if TYPE_CHECKING:
    from gateway.firmware.director import Director
    from gateway.firmware.release import ReleaseKey
    from gateway.firmware.store import FirmwareStore

FOLDER: Final = "firmware"
"""In the data folder: `gateway firmware add` makes it."""
NONE_YET: Final = "there is no firmware yet: take some in with `gateway firmware add FILE`"


class FirmwareHouse:
    """What heads and commands ask, whether there is firmware or not. Implements `head.http_firmware.Shelf`.

    `release_key`: the file of the public key that must have signed what is rolled out; None for any.
    """

    def __init__(
        self,
        data: Path,
        *,
        methods: Methods,
        twins: TwinDesk,
        emit: Callable[[Event], None],
        release_key: Path | None,
    ) -> None:
        self._data = data
        self._methods = methods
        self._twins = twins
        self._emit = emit
        self._release_key = release_key
        self._store: FirmwareStore | None = None
        self._director: Director | None = None
        self._opened = asyncio.Event()
        self._said = ""

    # Its life.

    def look(self) -> None:
        """Open the folder, if there is one by now; called again and again."""
        if self._director is None and (self._data / FOLDER).is_dir():
            self._open()

    async def run(self) -> None:
        """Work until cancelled, from when there is firmware."""
        await self._opened.wait()
        assert self._director is not None
        await self._director.run()

    async def close(self) -> None:
        """Keep what is not kept yet."""
        if self._director is not None:
            await self._director.close()

    def _open(self) -> None:
        from gateway.firmware.director import Director  # noqa: PLC0415 — most sites have no boards
        from gateway.firmware.files import FilesError  # noqa: PLC0415 — as above
        from gateway.firmware.release import read_release_key  # noqa: PLC0415 — as above
        from gateway.firmware.store import FirmwareStore  # noqa: PLC0415 — as above
        from gateway.observe.firmware import FirmwareClosed  # noqa: PLC0415 — as above

        def release_key() -> "ReleaseKey | None":
            return read_release_key(self._release_key)

        store = FirmwareStore(self._data, self._emit)
        try:
            clock = asyncio.get_running_loop().time
            director = Director(store, self._methods, emit=self._emit, clock=clock, release_key=release_key)
        except (FilesError, OSError) as error:
            if str(error) != self._said:
                self._said = str(error)
                self._emit(FirmwareClosed(str(error)))
            return
        self._store, self._director = store, director
        self._listen(director)
        self._opened.set()

    def _listen(self, director: "Director") -> None:
        """Hear what boards report, be their twins served or not."""
        from gateway.firmware.boards import read_patch  # noqa: PLC0415 — see _open

        def on_reported(who: Identity, patch: bytes) -> None:
            said = read_patch(patch)
            if said is not None:
                director.heard(who, said)

        if isinstance(self._twins, NoTwins):
            self._twins.hearer = on_reported
        else:
            from gateway.dispatch.twins import Twins  # noqa: PLC0415 — loaded where twins are served

            assert isinstance(self._twins, Twins)
            self._twins.listen(director.heard)

    # What heads ask.

    def meant_for(self, device: str, model: str) -> bytes | None:
        """The manifest that a board of this model should follow; None if there is none for it."""
        if self._director is None:
            return None
        self._director.met(device, model)
        manifest = self._director.meant_for(device, model)
        return None if manifest is None else manifest.text

    def offered(self, device: str, model: str) -> Mapping[str, str] | None:
        """For a board at its first contact: the version it should run, and the path of its manifest; None for none."""
        if self._director is None:
            return None
        from gateway.firmware.director import update_of  # noqa: PLC0415 — see _open

        self._director.met(device, model)
        manifest = self._director.meant_for(device, model)
        return None if manifest is None else update_of(model, manifest.version)

    def manifest(self, model: str, version: str) -> bytes | None:
        """The manifest of a version, None if there is none."""
        manifest = None if self._store is None else self._store.find(model, version)
        return None if manifest is None else manifest.text

    def piece(self, sha256: str, offset: int, length: int) -> tuple[bytes, int] | None:
        """At most so many bytes of an image, and how many it has in all; None if there is none."""
        piece = None if self._store is None else self._store.piece(sha256, offset, length)
        return None if piece is None else (piece.data, piece.size)

    # What commands ask.

    async def answer(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """An answerer of the control socket. Raises QuestionError."""
        self.look()
        if self._director is None:
            raise QuestionError(404, self._said or NONE_YET)
        from gateway.app.firmware_questions import answer  # noqa: PLC0415 — see _open

        return await answer(self._director, question)
