"""What `gateway support-bundle` takes along: files of text in one archive, each without secrets and bounded.

Nobody's messages are in it. What could not be had is named in `manifest.json`, with the reason; so is how much was
hidden.
"""

import importlib.metadata
import io
import json
import os
import platform
import ssl
import stat
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway import __version__
from gateway.app.asking import NobodyAnswersError, ask
from gateway.app.control import QuestionError
from gateway.doctor.checkup import Result
from gateway.doctor.finding import NotCheckedError
from gateway.doctor.patient import SETTINGS_FILE, STATUS_S, Patient, read_json
from gateway.doctor.secrets import HIDDEN, Secrets, hidden_json, is_secret_name, known_secrets
from gateway.doctor.served import names_in, shown_chain
from gateway.doctor.trust import bundle_pem
from gateway.identity.locked_file import LockedFileError
from gateway.identity.registry import FILE_NAME, Registry
from gateway.store.errors import StoreError
from gateway.store.files import DiskFiles
from gateway.store.status import read_status

MAX_MEMBER_BYTES: Final = 1 << 20
"""Of one file in the archive, unpacked; the end of a log, the beginning of all else."""
MAX_BUNDLE_BYTES: Final = 10 << 20
"""Of the archive; what would go beyond is left out, and named."""
METRICS_S: Final = 4.0
"""For the running gateway's counters."""
EVENTS: Final = 500
MAX_LISTED_FILES: Final = 500
MAX_LISTED_DEVICES: Final = 1_000
_ENVIRONMENT: Final = (
    "GATEWAY_",
    "IOTEDGE_",
    "Edge",
    "EDGE",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
    "TZ",
)
"""How the variables begin that are told; of all others not even the names are."""
_SECRET_FILES: Final = (
    *("GATEWAY_KEY_FILE", "GATEWAY_CONSTRAINED_KEY", "GATEWAY_BROKER_KEY", "GATEWAY_BROKER_PASSWORD_FILE"),
)
_PACKAGES: Final = (
    *("aiohttp", "azure-iot-device", "cryptography", "h11", "kafka-python", "orjson", "paho-mqtt", "prometheus-client"),
    *("pyOpenSSL", "uamqp", "uvloop", "wsproto", "azure-eventhub"),
)


class NotHadError(Exception):
    """A part of the bundle cannot be had; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What a bundle is made of."""

    patient: Patient
    results: tuple[Result, ...]
    """The doctor's."""
    log: Path | None = None
    """A file with the gateway's log, if there is one: the gateway writes to standard output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The archive, and what its `manifest.json` says."""

    data: bytes
    manifest: Mapping[str, Any]


def make_bundle(sources: Sources, doctor: Callable[[], str]) -> Bundle:
    """The archive, whole; `doctor` gives the findings as a person reads them."""
    secrets = _secrets_of(sources.patient)
    parts: dict[str, Callable[[], str]] = {
        "doctor.txt": doctor,
        "doctor.json": lambda: _json([result.row() for result in sources.results]),
        "versions.json": lambda: _json(_versions()),
        "environment.json": lambda: _json(_environment(sources.patient)),
        "settings.json": lambda: _json(_settings(sources.patient)),
        "routes.txt": lambda: _routes(sources.patient),
        "status.json": lambda: _json(_status(sources.patient)),
        "events.jsonl": lambda: _events(sources.patient),
        "metrics.txt": lambda: _metrics(sources.patient),
        "store.json": lambda: _json(_store(sources.patient)),
        "registry.json": lambda: _json(_registry(sources.patient)),
        "certificates.txt": lambda: "\n".join(_certificates(sources.patient)),
        "files.txt": lambda: "\n".join(_files(sources.patient.data_dir)),
        "log.txt": lambda: _log(sources.log),
    }
    return _packed(parts, secrets, now=sources.patient.now())


def _secrets_of(patient: Patient) -> Secrets:
    # By the variables themselves: the settings may be bad, and keys are keys.
    named = [Path(patient.environ[name]) for name in _SECRET_FILES if patient.environ.get(name)]
    folder = Path(patient.environ.get("GATEWAY_SECRETS_DIR") or "/run/secrets")
    every = {**os.environ, **patient.environ}
    try:
        document = _document(patient)
    except NotHadError:
        document = None
    return known_secrets(every, patient.data_dir, folder, named, document)


# --- the archive ----------------------------------------------------------------------------------------------------


def _packed(parts: Mapping[str, Callable[[], str]], secrets: Secrets, *, now: float) -> Bundle:
    members: dict[str, bytes] = {}
    told: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for name, make in parts.items():
        try:
            text = make()
        except (NotHadError, NotCheckedError) as reason:
            missing[name] = secrets.hide(str(reason))[0]
            continue
        except Exception as error:  # noqa: BLE001 - one part that fails must not take the others along
            missing[name] = secrets.hide(f"{type(error).__name__}: {error}")[0]
            continue
        clean, hidden = secrets.hide(text)
        data = _bounded(clean, is_log=name == "log.txt")
        if secrets.are_in(data):
            missing[name] = "a secret would have been in it"
            continue
        members[name] = data
        told[name] = {"bytes": len(data), "hidden": hidden, "cut": len(data) < len(clean.encode())}
    manifest = {
        "madeAt": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "gateway": __version__,
        "files": told,
        "missing": missing,
        "secrets": f"{secrets.count} are known here and are in none of the files; {HIDDEN} stands in their place"
        + (f". {secrets.beyond} more were hidden by their form alone" if secrets.beyond else ""),
        "messages": "none: nothing that devices have sent is in it",
    }
    return _within(members, manifest, now)


def _within(members: dict[str, bytes], manifest: dict[str, Any], now: float) -> Bundle:
    """The archive; the largest files are left out until it is small enough."""
    while True:
        data = _archive({"manifest.json": _json(manifest).encode(), **members}, now)
        if len(data) <= MAX_BUNDLE_BYTES or not members:
            return Bundle(data=data, manifest=manifest)
        largest = max(members, key=lambda name: len(members[name]))
        del members[largest], manifest["files"][largest]
        manifest["missing"][largest] = f"the archive would have more than {MAX_BUNDLE_BYTES} bytes"


def _archive(members: Mapping[str, bytes], now: float) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(f"gateway-support/{name}")
            entry.size, entry.mode, entry.mtime = len(data), 0o600, int(now)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def _bounded(text: str, *, is_log: bool) -> bytes:
    data = text.encode("utf-8", "backslashreplace")
    if len(data) <= MAX_MEMBER_BYTES:
        return data
    return data[-MAX_MEMBER_BYTES:] if is_log else data[:MAX_MEMBER_BYTES]


def write_bundle(path: Path, bundle: Bundle) -> None:
    """Write the archive, for its maker's eyes only. Raises OSError, also if there is a file already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(bundle.data)
    except OSError:
        path.unlink()  # half a bundle helps nobody, and the next one would not overwrite it
        raise


# --- what is in it --------------------------------------------------------------------------------------------------


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, default=str) + "\n"


def _versions() -> dict[str, Any]:
    packages = {}
    for name in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            packages[name] = importlib.metadata.version(name)
    return {
        "gateway": __version__,
        "python": sys.version,
        "openssl": ssl.OPENSSL_VERSION,
        "platform": platform.platform(),
        "machine": platform.machine(),
        "user": os.geteuid(),
        "packages": packages,
    }


def _environment(patient: Patient) -> dict[str, str]:
    """The variables that the gateway reads."""
    told = {name: value for name, value in sorted(patient.environ.items()) if name.startswith(_ENVIRONMENT)}
    return {name: HIDDEN if value and is_secret_name(name) else value for name, value in told.items()}


def _settings(patient: Patient) -> Any:
    """The document that counts. What is sent to boards may hold the site's Wi-Fi: of it the names alone are told."""
    return _without_boards(hidden_json(_document(patient)))


def _document(patient: Patient) -> Any:
    file = None if patient.environment is None else patient.environment.settings_file
    found = patient.document
    if found is None:
        found = read_json(file) if file is not None else read_json(patient.data_dir / SETTINGS_FILE)
    if found is None:
        raise NotHadError(f"no settings are to be had at {patient.reading_name}")
    return found


def _without_boards(value: Any, name: str = "") -> Any:
    if isinstance(value, list):
        return [_without_boards(each) for each in value]
    if not isinstance(value, dict):
        return value
    if name.rpartition(".")[2] == "boards":
        return _names_alone(value)
    return {key: _without_boards(inner, key) for key, inner in value.items()}


def _names_alone(value: Any) -> Any:
    return {key: _names_alone(inner) for key, inner in value.items()} if isinstance(value, dict) else HIDDEN


def _routes(patient: Patient) -> str:
    reading = patient.reading
    if reading is None:
        raise NotHadError("no settings have come yet")
    lines = [problem.rendered() for problem in (*reading.problems, *reading.warnings)]
    if reading.settings is not None:
        for name, route in reading.settings.routes.items():
            lines.append(f"{name}: {route.text}  (priority {route.priority}, timeToLiveSecs {route.time_to_live_s})")
    return "\n".join(lines) + "\n"


def _status(patient: Patient) -> Any:
    if patient.running is None or patient.running.status is None:
        raise NotHadError(patient.silent)
    with suppress(NobodyAnswersError, QuestionError):
        connected = ask(patient.data_dir, {"ask": "connected"}, within_s=STATUS_S)["connected"]
        return {**patient.running.status, "connected": connected[:MAX_LISTED_DEVICES]}
    return dict(patient.running.status)


def _events(patient: Patient) -> str:
    if patient.running is None or patient.running.status is None:
        raise NotHadError(f"they are in the gateway's memory, and {patient.silent}")
    try:
        events = ask(patient.data_dir, {"ask": "events", "last": EVENTS}, within_s=STATUS_S)["events"]
    except (NobodyAnswersError, QuestionError) as error:
        raise NotHadError(str(error)) from error
    return "".join(json.dumps(event) + "\n" for event in events)


def _metrics(patient: Patient) -> str:
    settings = patient.settings
    if patient.running is None or not settings.metrics_port:
        raise NotHadError("no gateway runs" if patient.running is None else "GATEWAY_METRICS_PORT is 0")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.metrics_address, settings.metrics_address)  # noqa: S104
    line = HTTPConnection(host, settings.metrics_port, timeout=METRICS_S)
    try:
        line.request("GET", "/metrics")
        return line.getresponse().read(MAX_MEMBER_BYTES).decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise NotHadError(f"{host} port {settings.metrics_port}: {error}") from error
    finally:
        line.close()


def _store(patient: Patient) -> Any:
    folder = patient.data_dir / "store"
    if not folder.is_dir():
        raise NotHadError(f"there is no store in {folder}")
    try:
        status = read_status(folder, DiskFiles(folder))
    except (StoreError, OSError) as error:
        raise NotHadError(str(error)) from error
    if status is None:
        raise NotHadError("the store is empty")
    queues = [
        {"endpoint": str(each.endpoint), "priority": each.priority, "messages": each.messages, "bytes": each.bytes}
        for each in status.queues
    ]
    return {"bytes": status.bytes, "segments": status.segments, "nextSequence": status.next_sequence, "queues": queues}


def _registry(patient: Patient) -> Any:
    """How many prove themselves how, and their names; no keys and no thumbprints."""
    try:
        roster = Registry(patient.data_dir / FILE_NAME).roster
    except LockedFileError as error:
        raise NotHadError(str(error)) from error
    kinds = Counter(type(entry.credential).__name__ for entry in roster.registrations.values())
    names = sorted(str(who) for who in roster.registrations)
    return {
        "devices": len(names),
        "disabled": sum(1 for entry in roster.registrations.values() if not entry.enabled),
        "credentials": dict(kinds),
        "groups": sorted(roster.groups),
        "names": names[:MAX_LISTED_DEVICES],
    }


def _certificates(patient: Patient) -> Iterator[str]:
    """Public parts: what the gateway shows to everybody, and whom it believes."""
    settings = patient.settings
    found: list[tuple[str, x509.Certificate]] = []
    for what, file in (("server", settings.certificate_file), ("small boards", settings.constrained_certificate)):
        if file is not None:
            found += ((what, each) for each in _read(file.read_bytes()))
    if settings.certificate_file is None:
        with suppress(NotCheckedError):
            found += (("server, as it is shown", each) for each in shown_chain(patient))
    found += (("trust bundle", each) for each in _read(bundle_pem(patient)))
    if not found:
        raise NotHadError("no certificate is in a file here, and no gateway runs that would show one")
    for what, each in found:
        yield (
            f"{what}: {each.subject.rfc4514_string()}, issued by {each.issuer.rfc4514_string()}, for "
            f"{', '.join(names_in(each)) or 'no name'}, from {each.not_valid_before_utc:%Y-%m-%d} to "
            f"{each.not_valid_after_utc:%Y-%m-%d}, SHA-256 {each.fingerprint(hashes.SHA256()).hex()}"
        )
        yield each.public_bytes(Encoding.PEM).decode()


def _read(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem) if pem.strip() else []
    except ValueError:
        return []


def _files(folder: Path) -> Iterator[str]:
    """Names, sizes, modes and times of the data folder's files."""
    if not folder.is_dir():
        raise NotHadError(f"there is no folder {folder}")
    paths = sorted(folder.rglob("*"))
    for path in paths[:MAX_LISTED_FILES]:
        with suppress(OSError):
            found = path.lstat()
            changed = datetime.fromtimestamp(found.st_mtime, UTC)
            yield (
                f"{stat.filemode(found.st_mode)} {found.st_uid}:{found.st_gid} {found.st_size:>12} "
                f"{changed:%Y-%m-%d %H:%M:%S} {path.relative_to(folder)}"
            )
    if len(paths) > MAX_LISTED_FILES:
        yield f"and {len(paths) - MAX_LISTED_FILES} more"


def _log(file: Path | None) -> str:
    if file is None:
        raise NotHadError("no file was named: the gateway's log is `docker logs NAME`; add it with --log FILE")
    try:
        with file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(size - MAX_MEMBER_BYTES, 0))
            text = log.read(MAX_MEMBER_BYTES)
    except OSError as error:
        raise NotHadError(f"{file} cannot be read: {error.strerror or error}") from error
    # Not from within a line: half a secret would not be known for one.
    whole = text if size <= MAX_MEMBER_BYTES else text.partition(b"\n")[2]
    return whole.decode("utf-8", "replace")
