"""Codes made of what a person types, and told in a person's words: the same for the command and the page."""

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from edgewire.iothub.bootstrap import (
    CODE_ALPHABET,
    CODE_CHARS,
    SecretKind,
    is_model,
    plain_code,
    secret_of_code,
    shown_code,
)
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from gateway.identity.claim_codes import MAX_BOARDS, Code, Codes, new_name
from gateway.identity.claims import edit_claims

DEFAULT_LIFE: Final = "24h"
MAX_LIFE_S: Final = 3_660 * 86_400

_UNITS: Final[Mapping[str, int]] = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DIGITS: Final = 12


class TypedError(ValueError):
    """What was typed makes no code; the text says what to write instead."""


class NoSuchCodeError(Exception):
    """There is no code by that name."""


@dataclass(frozen=True, slots=True)
class MadeCode:
    """A code just made. `shown` is the code itself, as a person types it: it is kept nowhere."""

    shown: str = field(repr=False)
    code: Code


# --- making and revoking --------------------------------------------------------------------------------------------


def make_claim(path: Path, typed: Mapping[str, str]) -> MadeCode:
    """A new code in the file, by what `code_of` takes but for the code. Blocks.

    Raises TypedError, ClaimsError if there are too many, or LockedFileError.
    """
    plain = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_CHARS))
    code = code_of({**typed, "code": plain}, SecretKind.CLAIM, time.time())
    edit_claims(path, lambda codes: codes.without_old(code.made_at).with_codes([code]))
    return MadeCode(shown_code(plain), code)


def revoke_claim(path: Path, name: str) -> None:
    """Nobody can come by this code any more. Blocks. Raises NoSuchCodeError or LockedFileError."""

    def change(codes: Codes) -> Codes:
        if name not in codes.by_name:
            raise NoSuchCodeError(f"there is no code '{name[:60]}'")
        return codes.without(name)

    edit_claims(path, change)


def code_of(typed: Mapping[str, str], kind: SecretKind, now: float) -> Code:
    """A code from text: code, and where given boards, expires, id, id_prefix, model, group. Raises TypedError."""
    plain = plain_code(typed["code"])
    if plain is None:
        raise TypedError("a code has 12 to 64 letters and digits, hyphens and blanks aside")
    device, id_prefix, model, group = (typed.get(name, "") for name in ("id", "id_prefix", "model", "group"))
    _check_boards_meant(device, id_prefix, model, group)
    return Code(
        name=new_name(),
        kind=kind,
        secret=secret_of_code(plain),
        made_at=int(now),
        boards=_boards(typed.get("boards", "") or "1"),
        expires_at=_expiry(typed.get("expires", "") or "never", now),
        device=device,
        id_prefix=id_prefix,
        model=model,
        group=group,
    )


def _check_boards_meant(device: str, id_prefix: str, model: str, group: str) -> None:
    for text, what in ((device, "id"), (id_prefix, "beginning of an id"), (group, "name of a group")):
        if text and not is_id(text):
            raise TypedError(f"'{text[:130]}' is no {what}: 1 to 128 of {ID_CHARACTERS}")
    if model and not is_model(model):
        raise TypedError(f"'{model[:40]}' is no model: 1 to 32 letters, digits, '.', '_' and '-'")
    if device and id_prefix:
        raise TypedError("a code is for one id or for all ids that begin so: give one of the two")
    if group and not device:
        raise TypedError(
            "a code for a group must name its board (id): whoever has the code would get the key of any device of the "
            "group that it claims to be"
        )


def _boards(text: str) -> int:
    number = _number(text)
    if not 1 <= number <= MAX_BOARDS:
        raise TypedError(f"'{text[:20]}' boards: a code is good for 1 to {MAX_BOARDS}")
    return number


def _expiry(text: str, now: float) -> float | None:
    if text == "never":
        return None
    life_s = _number(text[:-1]) * _UNITS.get(text[-1:], 0)
    if not 0 < life_s <= MAX_LIFE_S:
        raise TypedError(f"'{text[:20]}' is no time to expire in: write 30m, 24h, 7d (ten years at most), or never")
    return int(now) + life_s


def _number(text: str) -> int:
    """What the digits say; 0 for what are none, and for more than any bound here has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else 0


# --- telling --------------------------------------------------------------------------------------------------------


def in_order(codes: Iterable[Code]) -> list[Code]:
    """Codes as they are listed."""
    return sorted(codes, key=lambda code: (code.kind.value, code.device, code.made_at, code.name))


def status_of(code: Code, now: float) -> str:
    """`open`, `used` or `expired`."""
    if code.is_used_up:
        return "used"
    return "expired" if code.has_expired(now) else "open"


def whom(code: Code) -> str:
    """For which boards it is."""
    if code.device:
        meant = f"board '{code.device}'"
    else:
        boards = "one board" if code.boards == 1 else f"{code.boards} boards"
        meant = f"{boards} '{code.id_prefix}…'" if code.id_prefix else boards
    model = f" of model {code.model}" if code.model else ""
    return f"{meant}{model}" + (f" in group '{code.group}'" if code.group else "")


def until(code: Code) -> str:
    """For how long it is good."""
    if code.expires_at is None:
        return "for ever"
    return f"until {datetime.fromtimestamp(code.expires_at, UTC).strftime('%Y-%m-%d %H:%M UTC')}"
