"""The user name of a CONNECT: whose hub, which device or module, which client.

All forms of the official clients are read: `hub/device/?api-version=…`, the same with a module, without the question
mark, with slashes between the parts, and the oldest with nothing but `DeviceClientType=…`.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from edgewire.errors import ProtocolError
from edgewire.iothub.ids import ID_CHARACTERS, is_id
from edgewire.iothub.limits import MAX_ID_CHARS, MAX_USERNAME_CHARS
from edgewire.line.escapes import percent_encode
from edgewire.message import Identity, identity

# The query is cut off before the slashes are counted: clients append a product name to it un-encoded, slashes and all.
_QUERY: Final = re.compile(r"/(?:\?|(?=api-version=|DeviceClientType=))")
_HOST: Final = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{1,5})?"
)
_EXPECTED: Final = "expected '<hub>/<device>[/<module>]/?api-version=<version>'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Username:
    """A user name, taken apart. `hub` is as sent; `api_version` is None only from the oldest SDK."""

    hub: str
    device: str
    module: str | None = None
    api_version: str | None = None
    client_type: str = ""
    model_id: str = ""
    auth_chain: tuple[str, ...] = ()

    @property
    def identity(self) -> Identity:
        """The device or module that the peer says it is."""
        return identity(self.device, self.module)

    @property
    def client_id(self) -> str:
        """The only client id that goes with this user name."""
        return str(self.identity)


def parse_username(text: str) -> Username:
    """The parts of a user name.

    Raises ProtocolError, with a sentence that says what was expected, if `text` has none of the known forms.
    """
    if len(text) > MAX_USERNAME_CHARS:
        raise ProtocolError(f"the user name has more than {MAX_USERNAME_CHARS} characters")
    cut = _QUERY.search(text)
    if cut is None:
        raise ProtocolError(f"the user name ends without '/?api-version=…'; {_EXPECTED}")
    hub, device, module = _read_path(text[: cut.start()])
    fields = _read_query(text[cut.end() :])
    version = fields.get("api-version")
    if not version and (version is not None or not text.startswith("/DeviceClientType=", cut.start())):
        raise ProtocolError(f"the user name has no api-version; {_EXPECTED}")
    return Username(
        hub=hub,
        device=device,
        module=module,
        api_version=version,
        client_type=unquote(fields.get("DeviceClientType", "")),
        model_id=unquote(fields.get("model-id", "")),
        auth_chain=_read_chain(fields.get("auth-chain", "")),
    )


def format_username(username: Username) -> str:
    """The user name as today's official clients write it."""
    fields = [f"api-version={username.api_version or '2021-04-12'}"]
    if username.client_type:
        fields.append(f"DeviceClientType={percent_encode(username.client_type)}")
    if username.model_id:
        fields.append(f"model-id={percent_encode(username.model_id)}")
    if username.auth_chain:
        fields.append(f"auth-chain={percent_encode(';'.join(username.auth_chain))}")
    return f"{username.hub}/{username.identity}/?{'&'.join(fields)}"


def _read_path(path: str) -> tuple[str, str, str | None]:
    parts = path.split("/")
    if len(parts) not in (2, 3):
        raise ProtocolError(f"the user name has {len(parts)} parts before its query, not 2 or 3; {_EXPECTED}")
    if _HOST.fullmatch(parts[0]) is None:
        raise ProtocolError(f"the user name does not start with a hub's host name; {_EXPECTED}")
    for word, part in zip(("device", "module"), parts[1:], strict=False):
        if not is_id(part):
            raise ProtocolError(
                f"the {word} id in the user name is not one: 1 to {MAX_ID_CHARS} of {ID_CHARACTERS}; {_EXPECTED}"
            )
    return parts[0], parts[1], parts[2] if len(parts) == 3 else None


def _read_query(query: str) -> dict[str, str]:
    """The fields of the query; the first of two with one name counts, as with edgeHub."""
    # An old form has a slash where the others have '&': api-version=2017-06-30/DeviceClientType=….
    fields: dict[str, str] = {}
    for field in re.sub(r"/(?=DeviceClientType=)", "&", query, count=1).split("&"):
        name, _, value = field.partition("=")
        fields.setdefault(name, value)
    return fields


def _read_chain(text: str) -> tuple[str, ...]:
    """The ids of nested edges, leaf first, the one that connects last."""
    return tuple(unquote(text).split(";")) if text else ()
