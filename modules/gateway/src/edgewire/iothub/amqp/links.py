"""Properties of links: which client, which version, which pair of links, on whose behalf.

Node's client reuses one map for all its links, so nothing here says what a link is for: its address does.
Spec: edgehub.md §5.3, amqp.md §7.3, iothub_wire.md §2.3.
"""

from dataclasses import dataclass
from typing import Final

from edgewire.codec.amqp.conditions import INVALID_FIELD
from edgewire.codec.amqp.kinds import Symbol
from edgewire.codec.amqp.performatives import Map
from edgewire.errors import ProtocolError
from edgewire.iothub.limits import MAX_LINK_PROPERTY_CHARS

_CLIENT_VERSION: Final = Symbol("com.microsoft:client-version")
_API_VERSION: Final = Symbol("com.microsoft:api-version")
_MODEL_ID: Final = Symbol("com.microsoft:model-id")
_CHANNEL: Final = Symbol("com.microsoft:channel-correlation-id")
_AUTH_CHAIN: Final = Symbol("com.microsoft:auth-chain")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkProperties:
    """What a client says of its link; empty where it says nothing."""

    client_version: str = ""
    api_version: str = ""
    model_id: str = ""
    channel: str = ""
    """As sent: `twin:<id>`, `methods:<id>`, or, from the C SDK, a bare text."""
    auth_chain: tuple[str, ...] = ()
    """Nested edges, leaf first, the one that connects last."""

    @property
    def pair(self) -> str:
        """What the two links of a channel share: all after the first colon, empty if there is none, as for edgeHub."""
        return self.channel.partition(":")[2]


def read_link_properties(properties: Map | None) -> LinkProperties:
    """What the properties of an attach say. Raises ProtocolError (amqp:invalid-field) for one that is no text."""
    if not properties:
        return LinkProperties()
    chain = _read_text(properties, _AUTH_CHAIN)
    return LinkProperties(
        client_version=_read_text(properties, _CLIENT_VERSION),
        api_version=_read_text(properties, _API_VERSION),
        model_id=_read_text(properties, _MODEL_ID),
        channel=_read_text(properties, _CHANNEL),
        auth_chain=tuple(chain.split(";")) if chain else (),
    )


def write_link_properties(said: LinkProperties) -> dict[Symbol, str]:
    """The properties of an attach that say this, nothing for what is empty."""
    texts = {
        _CLIENT_VERSION: said.client_version,
        _API_VERSION: said.api_version,
        _MODEL_ID: said.model_id,
        _CHANNEL: said.channel,
        _AUTH_CHAIN: ";".join(said.auth_chain),
    }
    return {name: text for name, text in texts.items() if text}


def _read_text(properties: Map, name: Symbol) -> str:
    value = properties.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ProtocolError(f"the link property '{name}' is no text", reply=INVALID_FIELD)
    if len(value) > MAX_LINK_PROPERTY_CHARS:
        raise ProtocolError(
            f"the link property '{name}' has more than {MAX_LINK_PROPERTY_CHARS} characters", reply=INVALID_FIELD
        )
    return str(value)
