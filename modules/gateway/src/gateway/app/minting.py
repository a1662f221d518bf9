"""Tokens for boards without a clock, as the settings want them: which proofs are taken, and who checks passwords."""

import asyncio
import difflib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gateway.app.settings import ConfigError
from gateway.observe.events import Event
from gateway.observe.publishers import MintProof, MintRefusal

if TYPE_CHECKING:
    from gateway.head.http_tokens import HttpTokens
    from gateway.identity.authenticator import Authenticator
    from gateway.identity.gatekeeper import Gatekeeper, Verdict
    from gateway.identity.registry import Registry

NONE: Final = "none"


def read_proofs(text: str) -> frozenset[MintProof]:
    """The proofs that GATEWAY_TOKEN_PROOFS names. Raises ConfigError."""
    words = [word.strip() for word in text.split(",")]
    if words == [NONE]:
        return frozenset()
    known = [proof.value for proof in MintProof]
    for word in words:
        if word not in known:
            near = difflib.get_close_matches(word, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(
                f"GATEWAY_TOKEN_PROOFS is '{text}': write {', '.join(known)}, several with commas, or {NONE}{hint}"
            )
    return frozenset(map(MintProof, words))


def make_tokens(
    registry: "Registry",
    authenticator: "Authenticator",
    *,
    hub: str,
    proofs: frozenset[MintProof],
    data: Path,
    emit: Callable[[Event], None],
    clock: Callable[[], float],
) -> "HttpTokens":
    """The service at /tokens/v1/. `hub`: the name that the tokens are for; `data`: the folder with the users' file."""
    from gateway.head.http_tokens import HttpTokens  # noqa: PLC0415 — few sites have devices that speak HTTP
    from gateway.identity.minting import Mint  # noqa: PLC0415 — as above

    mint = Mint(registry, authenticator, hub=hub, proofs=proofs, clock=clock, monotonic=time.monotonic)
    return HttpTokens(mint, Passwords(data, emit), emit=emit, clock=clock)


class Passwords:
    """The passwords of the plain listener's users, in their file in `data`; it is read when the first is shown.

    Where that listener runs too, each has its own book of the one file.
    """

    def __init__(self, data: Path, emit: Callable[[Event], None]) -> None:
        self._data = data
        self._emit = emit
        self._gatekeeper: Gatekeeper | None = None

    async def __call__(self, user: str, password: str, address: str) -> MintRefusal | None:
        """What is wrong with a password, None if it is right and the user may come from there."""
        from gateway.identity.gatekeeper import Knock, TurnedAway  # noqa: PLC0415 — few sites have such users
        from gateway.identity.locked_file import LockedFileError  # noqa: PLC0415 — as above
        from gateway.observe.broker import PlainRefusal, UsersUnreadable  # noqa: PLC0415 — as above

        verdict: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()

        def take(said: "Verdict") -> None:
            if not verdict.done():  # who asked may have gone
                verdict.set_result(said)

        try:
            keeper = self._keeper()
        except LockedFileError as error:
            self._emit(UsersUnreadable(str(error)))
            return MintRefusal.BUSY
        knock = Knock(user=user, password=password.encode("utf-8"), address=address, now=time.time())
        keeper.judge(knock, take)
        said = await verdict
        if isinstance(said, TurnedAway):
            return MintRefusal.BUSY if said.reason is PlainRefusal.BUSY else MintRefusal.WRONG_PASSWORD
        # A user without a password is whoever comes from its network: that proves no device.
        return None if said.password is not None else MintRefusal.WRONG_PASSWORD

    def _keeper(self) -> "Gatekeeper":
        if self._gatekeeper is None:
            from gateway.identity.gatekeeper import Gatekeeper  # noqa: PLC0415 — few sites have such users
            from gateway.identity.user_book import USERS_FILE, UserBook  # noqa: PLC0415 — as above

            book = UserBook(self._data / USERS_FILE, self._emit)
            self._gatekeeper = Gatekeeper(book, asyncio.get_running_loop().call_soon_threadsafe)
        return self._gatekeeper

    def close(self) -> None:
        """End the thread in which passwords are checked."""
        if self._gatekeeper is not None:
            self._gatekeeper.close()
