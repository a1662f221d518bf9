"""What the provisioning service and its clients agree on: user names, link addresses, topics, paths, documents.

Spec: iothub_wire.md §5.
"""

import re
from dataclasses import dataclass
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub.limits import MAX_ID_CHARS, MAX_REQUEST_ID_CHARS, MAX_USERNAME_CHARS
from edgewire.iothub.sas import Sas, audience
from edgewire.line.escapes import percent_decode, percent_encode

RESULTS_FILTER: Final = "$dps/registrations/res/#"
_REGISTER: Final = "$dps/registrations/PUT/iotdps-register/?"
_POLL: Final = "$dps/registrations/GET/iotdps-get-operationstatus/?"
_RESULT: Final = "$dps/registrations/res"
_SCOPE: Final = r"[A-Za-z0-9]+"
# A slash before api-version where the hub's user names have '/?': Python, Node, C, C# and Java all write it so.
_LOGIN: Final = re.compile(rf"({_SCOPE})/registrations/([^/]*)/(api-version=.*)", re.DOTALL)
_ADDRESS: Final = re.compile(rf"(?:amqps?://[^/]+/)?({_SCOPE})/registrations/([^/]*)")
_PATH: Final = re.compile(rf"/({_SCOPE})/registrations/([^/]*)/(?:(register)|operations/([^/]+))/?")
_REGISTRATION: Final = re.compile(r"[A-Za-z0-9\-._:]*[A-Za-z0-9\-]")
API_VERSION: Final = "2019-03-31"
"""What we write ourselves; Python, Node, C# and Java write it too."""
ASSIGNED: Final = "assigned"
ASSIGNING: Final = "assigning"
"""Of the statuses of an operation, the two that a client goes on after."""
KEY_NAME: Final = "registration"
"""What Node, C and C# write as `skn`; Python's tokens have none and Java's an empty one (iothub_wire.md §5.4)."""
_ID_RULE: Final = f"1 to {MAX_ID_CHARS} ASCII letters, digits and - . _ : that end with a letter, digit or -"


@dataclass(frozen=True, slots=True)
class Registrant:
    """Who registers at whose service: the registration id as the peer writes it, and the id scope."""

    scope: str
    registration: str

    @property
    def key(self) -> str:
        """Registration ids are compared without case."""
        return self.registration.lower()

    def __str__(self) -> str:
        return f"{self.scope}/registrations/{self.registration}"


@dataclass(frozen=True, slots=True)
class Register:
    """A request to be assigned."""

    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Poll:
    """A question what has become of an operation."""

    operation_id: str
    request_id: str = ""


Request = Register | Poll


def is_registration_id(text: str) -> bool:
    """Whether `text` can be a registration id, or the name of an enrolment group."""
    return len(text) <= MAX_ID_CHARS and _REGISTRATION.fullmatch(text) is not None


def is_scope(text: str) -> bool:
    """Whether `text` can be an id scope."""
    return re.fullmatch(_SCOPE, text) is not None


def is_login(username: str) -> bool:
    """Whether a user name of MQTT is one of the provisioning service, good or bad."""
    return len(username) <= MAX_USERNAME_CHARS and _LOGIN.fullmatch(username) is not None


def parse_login(username: str) -> Registrant:
    """Whose user name this is, over MQTT. Raises ProtocolError."""
    found = _LOGIN.fullmatch(username) if len(username) <= MAX_USERNAME_CHARS else None
    if found is None:
        raise ProtocolError(
            "the user name is none of provisioning: '<scope>/registrations/<id>/api-version=…'", spec="iothub_wire §5.1"
        )
    return _registrant(found[1], found[2])


def is_address(text: str) -> bool:
    """Whether a link's address, or a user name of SASL PLAIN, is one of the provisioning service."""
    return len(text) <= MAX_USERNAME_CHARS and _ADDRESS.fullmatch(text) is not None


def parse_address(text: str) -> Registrant:
    """Whose address, or user name of SASL PLAIN, this is. Raises ProtocolError."""
    found = _ADDRESS.fullmatch(text) if len(text) <= MAX_USERNAME_CHARS else None
    if found is None:
        raise ProtocolError("not of the form '<scope>/registrations/<id>'", spec="iothub_wire §5.2")
    return _registrant(found[1], found[2])


def is_path(path: str) -> bool:
    """Whether a path of HTTP is one of the provisioning service's device API."""
    return _PATH.fullmatch(path) is not None


def parse_path(path: str) -> tuple[Registrant, Request]:
    """Who asks what, by a path of HTTP. Raises ProtocolError."""
    found = _PATH.fullmatch(path)
    if found is None:
        raise ProtocolError("no path of the provisioning service's device API", spec="iothub_wire §5.3")
    request = Register() if found[3] else Poll(percent_decode(found[4], "the operation id"))
    return _registrant(found[1], percent_decode(found[2], "the registration id")), request


def format_target(registrant: Registrant, request: Request) -> tuple[str, str]:
    """The method of HTTP and the target, path and query, of a request."""
    base = f"/{registrant.scope}/registrations/{percent_encode(registrant.registration)}"
    version = f"?api-version={API_VERSION}"
    if isinstance(request, Register):
        return "PUT", f"{base}/register{version}"
    return "GET", f"{base}/operations/{percent_encode(request.operation_id)}{version}"


def parse_topic(topic: str) -> Request:
    """What is asked by a publish to this topic. Raises ProtocolError."""
    if topic.startswith(_REGISTER):
        return Register(_request_id(_fields(topic.removeprefix(_REGISTER))))
    if topic.startswith(_POLL):
        fields = _fields(topic.removeprefix(_POLL))
        if not fields.get("operationId"):
            raise ProtocolError("the question for an operation names none", spec="iothub_wire §5.1")
        return Poll(percent_decode(fields["operationId"], "the operation id"), _request_id(fields))
    raise ProtocolError(f"'{topic[:80]}' is no topic of provisioning", spec="iothub_wire §5.1")


def format_result_topic(status: int, request_id: str, retry_after_s: int | None) -> str:
    """Where an answer goes: exactly one `$` before `rid` and none behind it, or Python's client misreads it."""
    retry = "" if retry_after_s is None else f"&retry-after={retry_after_s}"
    return f"{_RESULT}/{status}/?$rid={request_id}{retry}"


def is_token_for(token: Sas, registrant: Registrant) -> bool:
    """Whether this is what a token for this registration is for; who signed it, and when it ends, is not looked at.

    Raises ProtocolError if its resource cannot be decoded.
    """
    found = audience(token)
    path = tuple(part.lower() for part in found.path)
    # The scope stands where a hub's host would, and is compared as one: without case.
    is_ours = found.host == registrant.scope.lower() and path == ("registrations", registrant.key)
    return is_ours and token.key_name in ("", KEY_NAME)


def _registrant(scope: str, registration: str) -> Registrant:
    if not is_registration_id(registration):
        raise ProtocolError(f"'{registration[:140]}' is no registration id: {_ID_RULE}", spec="iothub_wire §5.1")
    return Registrant(scope, registration)


def _fields(query: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for field in query.split("&"):
        name, _, value = field.partition("=")
        fields.setdefault(name, value)
    return fields


def _request_id(fields: dict[str, str]) -> str:
    request_id = fields.get("$rid", "")
    if not 1 <= len(request_id) <= MAX_REQUEST_ID_CHARS:
        raise ProtocolError(f"the topic has no $rid of 1 to {MAX_REQUEST_ID_CHARS} characters", spec="iothub_wire §5.1")
    return request_id
