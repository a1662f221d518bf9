"""What commands ask of the provisioning service, and other stand-ins of this one's hub, by the control API."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import orjson
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from standin.documents import JsonObject
from standin.dps import Provisioning
from standin.dps_enrolments import (
    Attestation,
    Enrolment,
    EnrolmentError,
    Reprovisioning,
    authority_pem,
    normal_thumbprints,
    with_keys,
)
from standin.dps_hubs import assign, assignment_from_json, release, sections
from standin.dps_linked import ASSIGNED_PATH, LinkedHub, LinkedHubs

_SECRETS: Final = ("primaryKey", "secondaryKey")


class DpsControl:
    """`authorities`: the CAs of the stand-in's folder by name, that groups may name instead of giving one in PEM."""

    def __init__(self, dps: Provisioning, hubs: LinkedHubs, authorities: Mapping[str, x509.Certificate]) -> None:
        self._dps = dps
        self._hubs = hubs
        self._authorities = authorities

    def routes(self) -> list[web.RouteDef]:
        """What is added to the control API."""
        return [
            web.get("/enrolments", self._list),
            web.post("/enrolments", self._add),
            web.patch("/enrolments", self._enable),
            web.delete("/enrolments", self._remove),
            web.get("/linked-hubs", self._list_hubs),
            web.post("/linked-hubs", self._link),
            web.delete("/linked-hubs", self._unlink),
            web.post(ASSIGNED_PATH, self._assign),
            web.get(ASSIGNED_PATH, self._sections),
            web.delete(ASSIGNED_PATH, self._release),
        ]

    # Enrolments

    async def _list(self, _: web.Request) -> web.Response:
        enrolments = [self._shown(enrolment) for enrolment in self._dps.enrolments.all()]
        return _json({"idScope": self._dps.scope, "enrolments": enrolments})

    async def _add(self, request: web.Request) -> web.Response:
        enrolment = self._dps.enrolments.add(self._enrolment(await _body(request)))
        return _json({"idScope": self._dps.scope, "enrolment": self._shown(enrolment)})

    async def _enable(self, request: web.Request) -> web.Response:
        enrolment = self._named(request)
        enabled = bool((await _body(request)).get("enabled"))
        return _json(self._shown(self._dps.enrolments.set_enabled(enrolment, enabled=enabled)))

    async def _remove(self, request: web.Request) -> web.Response:
        enrolment = self._named(request)
        self._dps.enrolments.remove(enrolment)
        return _json(self._shown(enrolment))

    def _named(self, request: web.Request) -> Enrolment:
        group = {"group": True, "individual": False}.get(request.query.get("kind", ""))
        return self._dps.enrolments.named(request.query.get("name", ""), group=group)

    def _shown(self, enrolment: Enrolment) -> JsonObject:
        records = [record for record in self._dps.records.all() if record.enrolment == enrolment.key]
        return {**enrolment.to_json(), "registrations": [record.state() for record in records]}

    def _enrolment(self, body: dict[str, Any]) -> Enrolment:
        """The enrolment that a body describes; what is left out has its default."""
        by_certificate = bool(body.get("thumbprints") or body.get("authority"))
        try:
            enrolment = Enrolment(
                name=str(body.get("name", "")),
                group=bool(body.get("group")),
                attestation=Attestation.X509 if by_certificate else Attestation.SYMMETRIC_KEY,
                thumbprints=normal_thumbprints(body.get("thumbprints", ())),
                authority=self._authority(body.get("authority") or ""),
                device=body.get("deviceId"),
                edge=bool(body.get("iotEdge")),
                enabled=body.get("enabled") is not False,
                tags=_object(body, "tags"),
                desired=_object(body, "desired"),
                hub=self._hub(body.get("hub") or ""),
                reprovisioning=Reprovisioning(body.get("reprovisioning", Reprovisioning.KEEP.value)),
                payload=body.get("payload"),
            )
        except ValueError as error:
            raise EnrolmentError(f"{error}.") from error
        return enrolment if by_certificate else with_keys(enrolment, body.get("keys", ()))

    def _authority(self, text: str) -> str:
        """A CA of the folder by its name, or one in PEM; empty for none."""
        known = self._authorities.get(text)
        if known is not None:
            return known.public_bytes(Encoding.PEM).decode()
        return authority_pem(text.encode()) if text else ""

    def _hub(self, name: str) -> str:
        if name not in self._hubs:
            raise EnrolmentError(f"no hub {name!r} is linked; link it first: `standin linked-hubs add DIRECTORY`.")
        return name

    # Hubs

    async def _list_hubs(self, _: web.Request) -> web.Response:
        return _json({"hubs": [_hub_json(hub) for hub in self._hubs.linked()]})

    async def _link(self, request: web.Request) -> web.Response:
        with _complete():
            body = await _body(request)
            hub = LinkedHub(name=str(body["name"]), host=str(body["host"]), directory=Path(str(body["directory"])))
        self._hubs.link(hub)
        return _json(_hub_json(hub))

    async def _unlink(self, request: web.Request) -> web.Response:
        name = request.query.get("name", "")
        self._hubs.unlink(name)
        return _json({"name": name})

    async def _assign(self, request: web.Request) -> web.Response:
        """Another stand-in's provisioning has a device for this one's hub."""
        with _complete():
            assignment = assignment_from_json(await _body(request))
        return _json({"wasThere": assign(self._dps.hub, assignment)})

    async def _sections(self, request: web.Request) -> web.Response:
        found = sections(self._dps.hub, request.query.get("device", ""))
        if found is None:
            return _json({"isThere": False})
        return _json({"isThere": True, "tags": found[0], "desired": found[1]})

    async def _release(self, request: web.Request) -> web.Response:
        device = request.query.get("device", "")
        release(self._dps.hub, device)
        return _json({"deviceId": device})


def without_secrets(enrolment: JsonObject) -> JsonObject:
    """An enrolment as it may be shown to whoever looks over the shoulder."""
    return {name: value for name, value in enrolment.items() if name not in _SECRETS}


@contextmanager
def _complete() -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise EnrolmentError(f"the body has no {error}.") from error


def _hub_json(hub: LinkedHub) -> JsonObject:
    return {"name": hub.name, "host": hub.host, "directory": str(hub.directory)}


def _object(body: dict[str, Any], name: str) -> JsonObject:
    value = body.get(name) or {}
    if not isinstance(value, dict):
        raise EnrolmentError(f"{name} is no JSON object.")
    return value


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise EnrolmentError(f"the body is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise EnrolmentError("the body is not a JSON object.")
    return body


def _json(document: object) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")
