"""The workload API of the IoT Edge daemon, on a Unix socket: signing, certificates, trust bundle (edgehub.md §6.5)."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edgeca.errors import CaError
from edgewire.message import identity
from standin.certificates import Certificates, Issued
from standin.registry import Entry, Registry

API_VERSIONS: Final = frozenset(
    ("2018-06-28", "2019-01-30", "2019-10-22", "2019-11-05", "2020-07-07", "2021-12-07", "2022-08-03")
)
MAX_BODY_BYTES: Final = 256 * 1024
_NONCE_BYTES: Final = 12
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class WorkloadError(Exception):
    """A call that is refused, with the status of its answer."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


class Workload:
    """Answers for the modules of one edge device. The caller is not checked: who opens the socket may sign."""

    def __init__(self, registry: Registry, certificates: Certificates, *, edge_device: str, secret: bytes) -> None:
        self._registry = registry
        self._certificates = certificates
        self._edge_device = edge_device
        self._cipher = AESGCM(hashlib.sha256(b"standin workload" + secret).digest())

    def application(self) -> web.Application:
        """The API as an aiohttp application."""
        application = web.Application(middlewares=[_answer_in_json], client_max_size=MAX_BODY_BYTES)
        module = "/modules/{module}/genid/{generation}"
        application.add_routes(
            [
                web.get("/trust-bundle", self._trust_bundle),
                web.get("/manifest-trust-bundle", self._trust_bundle),
                web.get("/modules", self._modules),
                web.post(module + "/sign", self._sign),
                web.post(module + "/certificate/server", self._server_certificate),
                web.post(module + "/encrypt", self._encrypt),
                web.post(module + "/decrypt", self._decrypt),
                web.post("/modules/{module}/certificate/identity", self._identity_certificate),
                web.post(module + "/certificate/identity", self._identity_certificate),
            ]
        )
        return application

    async def _trust_bundle(self, _: web.Request) -> web.Response:
        return _json(200, {"certificate": self._certificates.trust_bundle})

    async def _modules(self, _: web.Request) -> web.Response:
        entries = self._registry.modules(self._edge_device)
        return _json(200, {"modules": [_module_json(entry) for entry in entries]})

    async def _sign(self, request: web.Request) -> web.Response:
        entry = self._module(request)
        data = _bytes(await _body(request), "data")
        digest = hmac.digest(entry.signing_keys()[0], data, "sha256")
        return _json(200, {"digest": base64.b64encode(digest).decode()})

    async def _server_certificate(self, request: web.Request) -> web.Response:
        entry = self._module(request)
        body = await _body(request)
        name = _text(body, "commonName")
        _text(body, "expiration")  # required, and then ignored as the daemon does
        return _issued_json(self._certificates.issue_server(name, str(entry.identity.module)))

    async def _identity_certificate(self, request: web.Request) -> web.Response:
        entry = self._module(request)
        return _issued_json(self._certificates.issue_identity(str(entry.identity.module)))

    async def _encrypt(self, request: web.Request) -> web.Response:
        entry = self._module(request)
        body = await _body(request)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, _bytes(body, "plaintext"), _bound_to(entry, body))
        return _json(200, {"ciphertext": base64.b64encode(nonce + sealed).decode()})

    async def _decrypt(self, request: web.Request) -> web.Response:
        entry = self._module(request)
        body = await _body(request)
        sealed = _bytes(body, "ciphertext")
        try:
            plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound_to(entry, body))
        except (InvalidTag, ValueError) as error:
            raise WorkloadError(400, "the ciphertext was not made here for this module and vector") from error
        return _json(200, {"plaintext": base64.b64encode(plain).decode()})

    def _module(self, request: web.Request) -> Entry:
        """The module named in the path. Raises WorkloadError (404) for an unknown one or another generation."""
        name = request.match_info["module"]
        entry = self._registry.get(identity(self._edge_device, name))
        generation = request.match_info.get("generation")
        if entry is None or generation not in {None, entry.generation_id}:
            raise WorkloadError(404, f"module not found: {name}, generation {generation}")
        return entry


@web.middleware
async def _answer_in_json(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Check the version, and give every refusal the daemon's form."""
    version = request.query.get("api-version")
    if version not in API_VERSIONS:
        return _error(400, f"api-version {version!r} is not known; use one of {', '.join(sorted(API_VERSIONS))}")
    try:
        return await handler(request)
    except WorkloadError as error:
        return _error(error.status, error.what)
    except CaError as error:
        return _error(400, str(error))
    except web.HTTPException as error:
        return _error(error.status, f"{request.method} {request.path}: {error.reason}")


def _json(status: int, document: object) -> web.Response:
    # Node reads an answer as JSON only with exactly this type (iothub_wire.md §0.6).
    return web.Response(status=status, body=orjson.dumps(document), content_type="application/json")


def _error(status: int, what: str) -> web.Response:
    return _json(status, {"message": what})


async def _body(request: web.Request) -> dict[str, Any]:
    """The JSON object of the request, whatever its Content-Type: Python sends none."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise WorkloadError(400, f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise WorkloadError(400, "the body is not a JSON object")
    return body


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise WorkloadError(400, f"{name} is missing, empty or no text")
    return value


def _bytes(body: dict[str, Any], name: str) -> bytes:
    value = body.get(name)
    if not isinstance(value, str):
        raise WorkloadError(400, f"{name} is missing or no text")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise WorkloadError(400, f"{name} is not base64") from error


def _bound_to(entry: Entry, body: dict[str, Any]) -> bytes:
    """What a ciphertext is valid for: this module, its generation, the caller's vector."""
    vector = _bytes(body, "initializationVector")
    return f"{entry.identity}\n{entry.generation_id}\n".encode() + vector


def _issued_json(issued: Issued) -> web.Response:
    return _json(
        201,
        {
            "privateKey": {"type": "key", "bytes": issued.key},
            "certificate": issued.chain,
            "expiration": issued.expires_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )


def _module_json(entry: Entry) -> dict[str, Any]:
    return {
        "id": str(entry.identity.module),
        "name": str(entry.identity.module),
        "type": "docker",
        "config": {"settings": {}, "env": []},
        "status": {"runtimeStatus": {"status": "running"}, "startTime": datetime.now(UTC).isoformat()},
    }
