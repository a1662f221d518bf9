"""Codes for first contact, as values, and their file's layout.

The file `claims.json`, version 1, is a JSON object (ASCII):

    {"version": 1,
     "codes": {"<name>": {"kind": "claim" | "label", "secret": "<base64 of the SHA-256 of the code>", "boards": <n>,
                          "madeAt": <s>, "expiresAt": <s> | null, "id": "", "idPrefix": "", "model": "", "group": "",
                          "uses": [{"id": "<device>", "nonce": "<hex>", "at": <s>}]}}}

All members must be there and no others; times are seconds since 1970. Of the code itself nothing is kept.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from edgewire.iothub.bootstrap import SecretKind, is_model, is_nonce
from edgewire.iothub.ids import is_id

VERSION: Final = 1
MAX_CODES: Final = 10_000
"""In the file, used ones included: it is written whole at each use."""
MAX_FREE_CODES: Final = 1_000
"""Of codes that name no board: a contact does not say by which code it comes, so all of them are tried."""
MAX_BOARDS: Final = 1_000
"""That one code may be good for."""
KEPT_S: Final = 30 * 86_400
"""How long a code that is used up or expired stays in the list; it is dropped at a later change."""

_NAME: Final = re.compile(r"[0-9a-f]{8}")
_SECRET_BYTES: Final = 32


class ClaimsError(ValueError):
    """What is wrong with codes or with their file, and where in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """A board that has come by a code; the nonce tells its own repetition from somebody else's attempt."""

    device: str
    nonce: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """A code that boards may come by. `device` is the one board that it is for, empty for any that fits the rest."""

    name: str
    kind: SecretKind
    secret: bytes = field(repr=False)
    made_at: float
    boards: int = 1
    expires_at: float | None = None
    device: str = ""
    id_prefix: str = ""
    model: str = ""
    group: str = ""
    """Whose key the device's is derived from; empty for a random key in the registry."""
    uses: tuple[Use, ...] = ()

    @property
    def is_used_up(self) -> bool:
        """Whether as many boards have come by it as may."""
        return len(self.uses) >= self.boards

    def has_expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires_at is not None and now >= self.expires_at

    def is_for(self, device: str, model: str) -> bool:
        """Whether a board of this id and model may come by it."""
        return self.device in ("", device) and device.startswith(self.id_prefix) and self.model in ("", model)

    def use_of(self, device: str, nonce: str) -> Use | None:
        """The use that this board has made of it with this nonce."""
        return next((use for use in self.uses if use.device == device and use.nonce == nonce), None)

    def may_renew(self, device: str) -> bool:
        """Whether the device may be there already: the code names it.

        That it has made the device is not enough: who shares a code could take over each other's devices.
        """
        return self.device == device


@dataclass(frozen=True, slots=True)
class Codes:
    """All codes that there are, by name."""

    by_name: Mapping[str, Code] = field(default_factory=dict)

    def with_codes(self, added: Sequence[Code]) -> "Codes":
        """These too. Raises ClaimsError if one is there already, or if there are too many."""
        secrets = {code.secret for code in self.by_name.values()}
        for code in added:
            if code.secret in secrets or code.name in self.by_name:
                raise ClaimsError(f"a code for '{code.device or 'any board'}' is there already, or given twice")
            secrets.add(code.secret)
        whole = {**self.by_name, **{code.name: code for code in added}}
        free = sum(not code.device for code in whole.values())
        if len(whole) > MAX_CODES or free > MAX_FREE_CODES:
            raise ClaimsError(
                f"there would be {len(whole)} codes, {free} of them for no board by name; at most {MAX_CODES} and "
                f"{MAX_FREE_CODES} are kept. Revoke some, or name the boards"
            )
        return Codes(whole)

    def without(self, name: str) -> "Codes":
        """All but this one."""
        return Codes({one: code for one, code in self.by_name.items() if one != name})

    def with_use(self, name: str, use: Use) -> "Codes":
        """The same, with a use of one of them."""
        code = self.by_name[name]
        return Codes({**self.by_name, name: replace(code, uses=(*code.uses, use))})

    def without_old(self, now: float) -> "Codes":
        """Without those that have been of no use for long."""
        return Codes({name: code for name, code in self.by_name.items() if _over_at(code, now) + KEPT_S > now})


def _over_at(code: Code, now: float) -> float:
    """Since when nobody can come by a code; now if somebody still can."""
    last = max((use.at for use in code.uses), default=now) if code.is_used_up else now
    return last if code.expires_at is None else min(last, max(code.expires_at, code.made_at))


def new_name() -> str:
    """A name for a code, which says nothing about it."""
    return os.urandom(4).hex()


# --- reading and writing ----------------------------------------------------------------------------------------------


def read_codes(text: bytes) -> Codes:
    """The codes that a file holds. Raises ClaimsError with what is wrong."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ClaimsError("it is no JSON") from None
    if not isinstance(document, dict) or document.keys() != {"version", "codes"} or document["version"] != VERSION:
        raise ClaimsError(f"it is no object of version {VERSION} with 'codes'")
    codes = document["codes"]
    if not isinstance(codes, dict):
        raise ClaimsError("'codes' is no object")
    return Codes({name: _read_code(name, value) for name, value in codes.items()})


_Check = Callable[[Any], bool]


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _is_text(accepts: Callable[[str], bool]) -> _Check:
    return lambda value: isinstance(value, str) and (not value or accepts(value))


_CODE_MEMBERS: Final[Mapping[str, _Check]] = {
    "kind": lambda value: value in (SecretKind.CLAIM.value, SecretKind.LABEL.value),
    "secret": lambda value: isinstance(value, str),
    "boards": lambda value: type(value) is int and 1 <= value <= MAX_BOARDS,
    "madeAt": _is_time,
    "expiresAt": lambda value: value is None or _is_time(value),
    "id": _is_text(is_id),
    "idPrefix": _is_text(is_id),
    "model": _is_text(is_model),
    "group": _is_text(is_id),
    "uses": lambda value: isinstance(value, list) and len(value) <= MAX_BOARDS,
}
_USE_MEMBERS: Final[Mapping[str, _Check]] = {
    "id": lambda value: isinstance(value, str) and is_id(value),
    "nonce": lambda value: isinstance(value, str) and is_nonce(value),
    "at": _is_time,
}


def _read_code(name: str, value: Any) -> Code:
    if _NAME.fullmatch(name) is None:
        raise ClaimsError(f"'{name[:60]}' is no name of a code")
    _check_members(value, _CODE_MEMBERS, f"code '{name}'")
    for number, use in enumerate(value["uses"]):
        _check_members(use, _USE_MEMBERS, f"code '{name}', use {number + 1}")
    return Code(
        name=name,
        kind=SecretKind(value["kind"]),
        secret=_read_secret(value["secret"], name),
        made_at=value["madeAt"],
        boards=value["boards"],
        expires_at=value["expiresAt"],
        device=value["id"],
        id_prefix=value["idPrefix"],
        model=value["model"],
        group=value["group"],
        uses=tuple(Use(device=use["id"], nonce=use["nonce"], at=use["at"]) for use in value["uses"]),
    )


def _check_members(value: Any, members: Mapping[str, _Check], where: str) -> None:
    if not isinstance(value, dict) or value.keys() != members.keys():
        raise ClaimsError(f"{where}: expected an object with {', '.join(members)}, and nothing else")
    for name, is_good in members.items():
        if not is_good(value[name]):
            raise ClaimsError(f"{where}: '{name}' has not the form that it must have")


def _read_secret(text: str, name: str) -> bytes:
    try:
        secret = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != _SECRET_BYTES:
        raise ClaimsError(f"code '{name}': 'secret' is no SHA-256 in base64")
    return secret


def write_codes(codes: Codes) -> bytes:
    """The file that holds these codes."""
    written = {name: _write_code(code) for name, code in sorted(codes.by_name.items())}
    return json.dumps({"version": VERSION, "codes": written}, indent=1).encode("ascii") + b"\n"


def _write_code(code: Code) -> dict[str, Any]:
    return {
        "kind": code.kind.value,
        "secret": base64.b64encode(code.secret).decode("ascii"),
        "boards": code.boards,
        "madeAt": code.made_at,
        "expiresAt": code.expires_at,
        "id": code.device,
        "idPrefix": code.id_prefix,
        "model": code.model,
        "group": code.group,
        "uses": [{"id": use.device, "nonce": use.nonce, "at": use.at} for use in code.uses],
    }
