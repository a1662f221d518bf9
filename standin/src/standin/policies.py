"""Shared access policies of the hub: who may use the service side, with which rights, proven by which keys.

The five policies a new IoT Hub has are here from the first start on, each with two keys that stay as long as the run
directory does. Spec: iothub_wire.md §4.2, §7.1.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from edgewire.iothub.sas import Audience, Sas
from standin.documents import Documents, JsonObject
from standin.registry import new_key

_KIND: Final = "policy"
_SCHEME: Final = re.compile(r"\A[A-Za-z]{2,8}(?:%3A%2F%2F|://)", re.IGNORECASE)


class Right(Enum):
    """What a policy may allow; the values are the cloud's own words."""

    REGISTRY_READ = "RegistryRead"
    REGISTRY_WRITE = "RegistryWrite"
    SERVICE_CONNECT = "ServiceConnect"
    DEVICE_CONNECT = "DeviceConnect"
    SEND = "Send"
    LISTEN = "Listen"


OWNER: Final = "iothubowner"
RIGHTS: Final[dict[str, frozenset[Right]]] = {
    OWNER: frozenset(Right) - {Right.SEND, Right.LISTEN},  # those are of Event Hubs beside the hub
    "service": frozenset({Right.SERVICE_CONNECT}),
    "device": frozenset({Right.DEVICE_CONNECT}),
    "registryRead": frozenset({Right.REGISTRY_READ}),
    # Who may write may read: the cloud has no policy that can only write.
    "registryReadWrite": frozenset({Right.REGISTRY_READ, Right.REGISTRY_WRITE}),
}


class PolicyError(Exception):
    """A token that proves no policy; the sentence says why, and holds no part of a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One shared access policy."""

    name: str
    rights: frozenset[Right]
    primary_key: str = field(repr=False)
    secondary_key: str = field(repr=False)

    def signing_keys(self) -> tuple[bytes, ...]:
        """The keys as IoT Hub signs with them: decoded from base64, primary first."""
        return (sas.decode_key(self.primary_key), sas.decode_key(self.secondary_key))

    def text_keys(self) -> tuple[bytes, ...]:
        """The keys as Event Hubs signs with them: their text itself (iothub_wire.md §7.1)."""
        return (self.primary_key.encode(), self.secondary_key.encode())

    def connection_string(self, hub: str) -> str:
        """What a program of the service side is configured with; `hub` may be the address."""
        return f"HostName={hub};SharedAccessKeyName={self.name};SharedAccessKey={self.primary_key}"


class Policies:
    """All policies of one hub; made at the first use of a run directory, and kept there."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        kept = documents.all(_KIND)
        self._policies = {name: _from_json(name, kept[name]) for name in RIGHTS if name in kept}
        for name in RIGHTS:
            if name not in self._policies:
                self._keep(_new_policy(name))

    def get(self, name: str) -> Policy | None:
        """The policy of this name, compared with case, or None."""
        return self._policies.get(name)

    def owner(self) -> Policy:
        """The policy that may do everything."""
        return self._policies[OWNER]

    def set_key(self, name: str, key: str) -> Policy:
        """Use this primary key, in base64, from now on. Raises PolicyError for an unknown name or an impossible key."""
        policy = self._policies.get(name)
        if policy is None:
            raise PolicyError(f"there is no policy {name!r}; there are {', '.join(RIGHTS)}.")
        try:
            sas.decode_key(key)
        except ValueError as error:
            raise PolicyError(f"the key for the policy {name}: {error}.") from error
        self._keep(replace(policy, primary_key=key))
        return self._policies[name]

    def admit(self, text: str, *, hosts: Collection[str], path: tuple[str, ...], now: float) -> Policy:
        """The policy that a token of IoT Hub proves for what is at `path`. Raises PolicyError.

        `hosts`: what the hub is called, in lower case without port. `path`: the decoded segments of what is asked for;
        the token must name them, or a beginning of them.
        """
        try:
            token = sas.parse(text)
            resource = target_of(token)
        except ProtocolError as error:
            raise PolicyError(str(error)) from error
        policy = self._policies.get(token.key_name)
        if policy is None:
            raise PolicyError(f"the token names {_named(token)}; there are {', '.join(RIGHTS)}")
        if resource.host not in hosts or resource.path != path[: len(resource.path)]:
            raise PolicyError(f"the token is for {token.resource}, which is not this hub or not what was asked for")
        check_signature(token, policy.signing_keys(), now)
        return policy

    def _keep(self, policy: Policy) -> None:
        self._policies[policy.name] = policy
        self._documents.put(_KIND, policy.name, _to_json(policy))


def target_of(token: Sas) -> Audience:
    """What a token is for, whatever scheme stands in front of the host (`https://`, `sb://`, `amqps://`, or none).

    Raises ProtocolError if its resource cannot be decoded.
    """
    found = sas.audience(replace(token, resource=_SCHEME.sub("", token.resource, count=1)))
    path = found.path[:-1] if found.path and not found.path[-1] else found.path
    return Audience(found.host, path)


def check_signature(token: Sas, keys: tuple[bytes, ...], now: float) -> None:
    """Raise PolicyError unless one of the keys signed the token and its time is not over."""
    match sas.verify(token, keys, now):
        case sas.Verdict.GOOD:
            return
        case sas.Verdict.WRONG_KEY:
            raise PolicyError(f"the token is not signed with a key of the policy {token.key_name}")
        case sas.Verdict.EXPIRED:
            raise PolicyError(f"the token expired at {token.expiry}")


def _named(token: Sas) -> str:
    return f"the policy {token.key_name!r}" if token.key_name else "no policy: it has no skn"


def _new_policy(name: str) -> Policy:
    return Policy(name=name, rights=RIGHTS[name], primary_key=new_key(), secondary_key=new_key())


def _to_json(policy: Policy) -> JsonObject:
    return {"primaryKey": policy.primary_key, "secondaryKey": policy.secondary_key}


def _from_json(name: str, body: JsonObject) -> Policy:
    return Policy(name=name, rights=RIGHTS[name], primary_key=body["primaryKey"], secondary_key=body["secondaryKey"])
