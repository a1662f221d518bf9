"""What the page does to devices: a message or a method to one that is connected here, and what is known of its twin."""

import asyncio
import base64
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from edgewire.iothub.bag import Bag, bag_size
from edgewire.iothub.limits import MAX_C2D_MESSAGE_BYTES
from edgewire.message import Identity, identity
from gateway.dashboard.answers import NotAnsweredError
from gateway.dispatch.delivery import CloudMessage, Delivery, Settlement
from gateway.dispatch.methods import MethodError, Methods
from gateway.twin.store import TwinStoreError

if TYPE_CHECKING:
    from gateway.app.hub_service import HubService
    from gateway.dispatch.twins import Twins

SETTLED_S: Final = 30.0
"""For a device to settle a message; a window of the page shows nothing longer."""
METHOD_S: Final = 30.0
"""For a device to answer a method, unless the page says another."""
MIRROR_S: Final = 10.0
"""For the mirror of a twin to be read."""
MAX_DEEDS: Final = 32
"""Messages and methods of the page that wait for their devices at once."""

SETTLED: Final[Mapping[Settlement, str]] = {
    Settlement.COMPLETED: "accepted",
    Settlement.REJECTED: "rejected",
    Settlement.ABANDONED: "released",
}
NO_SERVICE: Final = (
    "twins are changed through the hub: set GATEWAY_SERVICE_CONNECTION_STRING to a connection string of a policy with "
    "the right ServiceConnect, and start the gateway again"
)


class Deeds:
    """Does it. `service` is the hub's service API, or why there is no way to it."""

    def __init__(
        self, *, delivery: Delivery, methods: Methods, twins: "Twins | None", service: "HubService | str"
    ) -> None:
        self._delivery = delivery
        self._methods = methods
        self._twins = twins
        self._service = service
        self._waiting = 0

    async def send(self, who: Identity, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Bring a message to a device that listens here, and wait for what it makes of it."""
        message = _message(asked)
        done: asyncio.Future[Settlement] = asyncio.get_running_loop().create_future()

        def settled(settlement: Settlement) -> None:
            if not done.done():
                done.set_result(settlement)

        with self._room():
            if self._delivery.recipient(who) is None:
                raise NotAnsweredError(
                    409, f"'{who}' does not listen for messages here now, and nothing is stored: send it when it does"
                )
            if not self._delivery.offer(who, message, settled):
                raise NotAnsweredError(409, f"'{who}' has as many unsettled messages as it takes; try again later")
            try:
                async with asyncio.timeout(SETTLED_S):
                    return {"settled": SETTLED[await done]}
            except TimeoutError:
                return {"settled": "timeout"}

    async def call(self, who: Identity, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Call a method of a device that takes calls here."""
        timeout_s = asked.get("timeoutSecs", METHOD_S)
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
            raise NotAnsweredError(400, "timeoutSecs must be a number of seconds, 5 to 300")
        name = asked.get("method")
        if not isinstance(name, str):
            raise NotAnsweredError(400, "method must be the name of a method")
        with self._room():
            try:
                result = await self._methods.invoke(
                    who,
                    name,
                    _json(asked.get("payload"), "payload"),
                    connect_timeout_s=0.0,
                    response_timeout_s=float(timeout_s),
                )
            except MethodError as error:
                raise NotAnsweredError(error.fault.value, error.what) from error
        return {"status": result.status, "payload": _payload(result.payload)}

    async def twin(self, who: Identity) -> dict[str, Any]:
        """The twin, as the hub has it; or as it was when the gateway heard of it last."""
        if isinstance(self._service, str):
            return await self._mirror(who, self._service)
        try:
            return await self._service.twin(who)
        except NotAnsweredError as error:
            if error.status < 500 or self._twins is None:
                raise
            return await self._mirror(who, str(error))

    async def edit_twin(self, who: Identity, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Change desired properties, in the hub. `etag`: of the twin that was looked at; absent, whatever is there."""
        desired, etag = asked.get("desired"), asked.get("etag")
        if not isinstance(desired, dict):
            raise NotAnsweredError(400, 'desired must be an object of what is to change: {"desired": {"rate": 5}}')
        if etag is not None and not isinstance(etag, str):
            raise NotAnsweredError(400, "etag must be the text that came with the twin")
        if isinstance(self._service, str):
            raise NotAnsweredError(409, self._service)
        _json({"properties": {"desired": desired}}, "desired")
        return await self._service.patch_desired(who, desired, etag)

    async def _mirror(self, who: Identity, problem: str) -> dict[str, Any]:
        """What is kept here; `problem` is why the hub was not asked."""
        if self._twins is None:
            raise NotAnsweredError(
                409, f"this gateway keeps no twins: it has no way upstream on behalf of devices. And {problem}"
            )
        try:
            async with asyncio.timeout(MIRROR_S):
                kept = await self._twins.mirrored(who)
        except TimeoutError:
            raise NotAnsweredError(503, f"the mirror of the twin was not read within {MIRROR_S:.0f} s") from None
        except TwinStoreError as error:
            raise NotAnsweredError(503, f"the mirror of the twin cannot be read now: {error}") from error
        if kept is None:
            raise NotAnsweredError(404, f"the gateway has not heard of a twin of '{who}' yet. And {problem}")
        return {**shown_twin(orjson.loads(kept), "mirror"), "problem": problem}

    def _room(self) -> "_Room":
        return _Room(self)

    def enter(self) -> None:
        """One more waits. Raises NotAnsweredError."""
        if self._waiting >= MAX_DEEDS:
            raise NotAnsweredError(429, f"{MAX_DEEDS} messages and methods of the page wait already; try again later")
        self._waiting += 1

    def leave(self) -> None:
        """It waits no more."""
        self._waiting -= 1


class _Room:
    """A place among those that wait."""

    def __init__(self, deeds: Deeds) -> None:
        self._deeds = deeds

    def __enter__(self) -> None:
        self._deeds.enter()

    def __exit__(self, *_: object) -> None:
        self._deeds.leave()


def named(name: str) -> Identity:
    """The identity of `device` or `device/module`."""
    device, slash, module = name.partition("/")
    return identity(device, module if slash else None)


def shown_twin(document: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """A twin for the page: sections without what is the hub's own, and their versions."""
    sections = {name: document.get(name) or {} for name in ("desired", "reported")}
    return {
        **{
            name: {key: value for key, value in section.items() if not key.startswith("$")}
            for name, section in sections.items()
        },
        "versions": {name: section.get("$version") for name, section in sections.items()},
        "etag": None,
        "from": origin,
    }


def _message(asked: Mapping[str, Any]) -> CloudMessage:
    body = _body(asked)
    properties = asked.get("properties") or {}
    if not isinstance(properties, dict) or not all(isinstance(value, str) for value in properties.values()):
        raise NotAnsweredError(400, 'properties must be an object of texts: {"name": "value"}')
    for name in properties:
        if not name or name.startswith(("$", "iothub-")) or not name.isprintable():
            raise NotAnsweredError(400, f"'{name[:40]}' is no name of a property: $ and iothub- are the hub's own")
    system = {"messageId": str(uuid.uuid4())}
    if asked.get("contentType"):
        system |= {"contentType": str(asked["contentType"]), "contentEncoding": "utf-8"}
    size = len(body) + bag_size(properties, system)
    if size > MAX_C2D_MESSAGE_BYTES:
        raise NotAnsweredError(413, f"the message counts {size} bytes; {MAX_C2D_MESSAGE_BYTES} are allowed")
    return CloudMessage(
        bag=Bag(properties, system),
        body=body,
        lock_token=str(uuid.uuid4()),
        enqueued_at_ms=int(time.time() * 1000),
        delivery_count=0,
    )


def _body(asked: Mapping[str, Any]) -> bytes:
    if "bodyBase64" in asked:
        try:
            return base64.b64decode(str(asked["bodyBase64"]), validate=True)
        except ValueError:
            raise NotAnsweredError(400, "bodyBase64 is no base64") from None
    body = asked.get("body", "")
    return body.encode() if isinstance(body, str) else _json(body, "body")


def _json(value: Any, name: str) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # what was read may be nested deeper than what can be written
        raise NotAnsweredError(400, f"{name} is nested too deeply to be sent") from None


def _payload(payload: bytes) -> Any:
    """A device's answer as JSON; what is none, or nested deeper than can be written again, as text."""
    try:
        answer = orjson.loads(payload) if payload else None
        orjson.dumps(answer)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return payload.decode(errors="replace")
    return answer
