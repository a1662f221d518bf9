"""Client of IoT Edge's workload API: this module's server certificate, the trust bundle, signing, encryption.

The API is on this machine (edgehub.md §6.5), so it answers while the cloud is away, and no certificate is kept on disk:
a restart asks for a new one. Each call has a connection of its own, for there are a few of them a month.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from cryptography import x509

from edgewire.transport.backoff import Backoff
from gateway.identity.local_http import (
    Address,
    BadAddressError,
    BrokenOffError,
    Call,
    UnreachableError,
    exchange,
    read_address,
)
from gateway.observe.events import Event
from gateway.observe.workload import CertificateIssued, CertificateRunsOut, CertificateTryFailed

CALL_S: Final = 60.0
"""Of one call: the daemon makes an RSA key for a certificate, which takes a small Pi many seconds."""
ASKED_DAYS: Final = 90
"""What edgeHub asks for; the daemon decides, 30 days by default."""
RENEW_AT: Final = 2 / 3
"""Part of a certificate's life after which a new one is asked for: then days of failed tries do no harm."""
ALARM_S: Final = 3 * 86_400.0
"""A certificate with less left and no successor needs a person."""
LOOK_EVERY_S: Final = 3600.0
"""How often the calendar is looked at: a Pi without a clock chip may learn the date long after its start."""
LEAST_BETWEEN_S: Final = 60.0
_VARIABLES: Final = (
    "IOTEDGE_WORKLOADURI",
    "IOTEDGE_APIVERSION",
    "IOTEDGE_MODULEID",
    "IOTEDGE_MODULEGENERATIONID",
)


class WorkloadError(Exception):
    """The workload API gave nothing; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCertificate:
    """The gateway's TLS identity. `chain`: PEM, leaf first; `key`: PEM."""

    chain: bytes
    key: bytes = field(repr=False)
    issued_at: float
    expires_at: float


class Workload:
    """The API as one module sees it. All calls raise WorkloadError."""

    def __init__(self, *, uri: str, api_version: str, module: str, generation: str) -> None:
        self._uri = uri
        self._query = {"api-version": api_version}
        self._module = module
        self._generation = generation

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Workload":
        """The API that IoT Edge's variables name. Raises WorkloadError with those that are missing."""
        missing = [name for name in _VARIABLES if not environ.get(name)]
        if missing:
            raise WorkloadError(
                f"{', '.join(missing)} missing: IoT Edge sets them in its containers. Outside of one, give the gateway "
                "its certificate by GATEWAY_CERTIFICATE_FILE and GATEWAY_KEY_FILE"
            )
        uri, api_version, module, generation = (environ[name] for name in _VARIABLES)
        return cls(uri=uri, api_version=api_version, module=module, generation=generation)

    async def trust_bundle(self) -> str:
        """The CA certificates that IoT Edge trusts, PEM, perhaps several."""
        return _text(await self._call("GET", "/trust-bundle", None), "certificate")

    async def server_certificate(self, common_name: str) -> ServerCertificate:
        """A new certificate for this module as a server; the daemon adds the module's name to it."""
        until = datetime.now(UTC) + timedelta(days=ASKED_DAYS)
        body = {"commonName": common_name, "expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ")}
        answer = await self._call("POST", self._own("certificate/server"), body)
        key = answer.get("privateKey")
        if not isinstance(key, dict) or key.get("type") != "key":
            raise WorkloadError("the workload API gave a certificate without its key, which a server cannot use")
        return _certificate(_text(answer, "certificate").encode(), _text(key, "bytes").encode())

    async def sign(self, data: bytes) -> bytes:
        """HMAC-SHA256 of `data` by this module's primary key, which never leaves the daemon."""
        body = {"keyId": "primary", "algo": "HMACSHA256", "data": base64.b64encode(data).decode()}
        return _bytes(await self._call("POST", self._own("sign"), body), "digest")

    async def encrypt(self, plaintext: bytes, vector: bytes) -> bytes:
        """`plaintext` encrypted so that only this module on this device can read it."""
        return await self._cipher("encrypt", "plaintext", plaintext, vector)

    async def decrypt(self, ciphertext: bytes, vector: bytes) -> bytes:
        """What `encrypt` was given, with the same vector."""
        return await self._cipher("decrypt", "ciphertext", ciphertext, vector)

    async def _cipher(self, call: str, takes: str, data: bytes, vector: bytes) -> bytes:
        body = {
            takes: base64.b64encode(data).decode(),
            "initializationVector": base64.b64encode(vector).decode(),
        }
        gives = "ciphertext" if call == "encrypt" else "plaintext"
        return _bytes(await self._call("POST", self._own(call), body), gives)

    def _own(self, call: str) -> str:
        return f"/modules/{quote(self._module, safe='')}/genid/{quote(self._generation, safe='')}/{call}"

    async def _call(self, method: str, path: str, body: Mapping[str, str] | None) -> dict[str, Any]:
        """One call, answered by a JSON object."""
        target = f"{path}?{urlencode(self._query)}"
        content = None if body is None else orjson.dumps(body)
        try:
            async with asyncio.timeout(CALL_S):
                answer = await exchange(self._address(), Call(method=method, target=target, body=content))
        except TimeoutError:
            raise WorkloadError(f"the workload API at {self._uri} did not answer within {CALL_S:.0f} s") from None
        except UnreachableError as error:
            raise WorkloadError(self._unreachable(error.cause)) from error
        except BrokenOffError as error:
            raise WorkloadError(f"the workload API at {self._uri} broke off: {error}") from error
        return self._read(answer.status, answer.body)

    def _address(self) -> Address:
        try:
            return read_address(self._uri)
        except BadAddressError as error:
            raise WorkloadError(f"IOTEDGE_WORKLOADURI is '{self._uri}': {error}") from error

    def _unreachable(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError):
            return (
                f"the workload socket {self._uri} does not exist. In a container, check that IoT Edge mounts it; "
                "outside of one, that the IoT Edge daemon, or the stand-in, is running"
            )
        if isinstance(error, PermissionError):
            return f"the workload socket {self._uri} may not be opened by the user the gateway runs as"
        return f"cannot reach the workload API at {self._uri}: {error.strerror or error}"

    def _read(self, status: int, answer: bytes | bytearray) -> dict[str, Any]:
        try:
            document = orjson.loads(answer)
        except orjson.JSONDecodeError:
            document = None
        if status in {200, 201} and isinstance(document, dict):
            return document
        said = document.get("message") if isinstance(document, dict) else None
        said = f": {said}" if said else ""
        if status == 404:
            raise WorkloadError(
                f"IoT Edge does not know this process as module '{self._module}', generation "
                f"'{self._generation}'{said}. It knows callers by process: the gateway must be the container's first"
            )
        if status == 403:
            raise WorkloadError(f"IoT Edge does not let this process act as module '{self._module}'{said}")
        if status in {200, 201}:
            raise WorkloadError("the workload API answered with something that is not a JSON object")
        raise WorkloadError(f"the workload API answered with status {status}{said}")


class CertificateKeeper:
    """Gets the server certificate and renews it in time; the last one is kept in memory."""

    def __init__(
        self,
        *,
        workload: Workload,
        common_name: str,
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        backoff: Backoff | None = None,
    ) -> None:
        self._workload = workload
        self._common_name = common_name
        self._emit = emit
        self._clock = clock
        self._sleep = sleep
        self._backoff = backoff or Backoff(first_s=1.0, cap_s=300.0)
        self.current: ServerCertificate | None = None

    async def obtain(self) -> ServerCertificate:
        """A new certificate, however many tries it takes."""
        while True:
            try:
                certificate = await self._workload.server_certificate(self._common_name)
            except WorkloadError as error:
                await self._wait_after(str(error))
                continue
            self._backoff.reset()
            self.current = certificate
            self._emit(CertificateIssued(self._common_name, certificate.expires_at - self._clock()))
            return certificate

    async def run(self, apply: Callable[[ServerCertificate], None]) -> None:
        """Renew for ever; `apply` gets each new certificate, the current one it has already."""
        if self.current is None:
            apply(await self.obtain())
        while self.current is not None:
            left_s = _renew_at(self.current) - self._clock()
            # A daemon whose clock is off may issue what looks old already: even then not more than one a minute.
            await self._sleep(min(max(left_s, LEAST_BETWEEN_S), LOOK_EVERY_S))
            if self._clock() >= _renew_at(self.current):
                apply(await self.obtain())

    async def _wait_after(self, reason: str) -> None:
        delay_s = self._backoff.next_delay_s()
        self._emit(CertificateTryFailed(reason, delay_s))
        if self.current is not None and self.current.expires_at - self._clock() < ALARM_S:
            self._emit(CertificateRunsOut(self.current.expires_at - self._clock(), reason))
        await self._sleep(delay_s)


def _renew_at(certificate: ServerCertificate) -> float:
    return certificate.issued_at + (certificate.expires_at - certificate.issued_at) * RENEW_AT


def _certificate(chain: bytes, key: bytes) -> ServerCertificate:
    try:
        certificates = x509.load_pem_x509_certificates(chain)
    except ValueError as error:
        raise WorkloadError(f"the workload API gave a certificate that cannot be read: {error}") from error
    return ServerCertificate(
        chain=chain,
        key=key,
        issued_at=certificates[0].not_valid_before_utc.timestamp(),
        # An edge CA may end before what it signs, and then clients refuse both: a new chain is asked for in time.
        expires_at=min(each.not_valid_after_utc for each in certificates).timestamp(),
    )


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise WorkloadError(f"the answer of the workload API has no '{name}'")
    return value


def _bytes(document: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(_text(document, name), validate=True)
    except binascii.Error as error:
        raise WorkloadError(f"'{name}' in the answer of the workload API is not base64") from error
