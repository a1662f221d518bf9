"""What the data folder keeps: store, registry of devices, tokens. And secrets, by their form alone."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgewire.errors import ProtocolError
from edgewire.iothub import sas
from gateway.app.document import Reading
from gateway.app.endpoint_secrets import missing
from gateway.app.settings import Environment
from gateway.doctor.finding import Finding, NotCheckedError, ok, problem, warning
from gateway.doctor.folder import store_bytes
from gateway.doctor.patient import Patient, read_json
from gateway.doctor.places import connection_fields
from gateway.identity.locked_file import LockedFileError
from gateway.identity.registry import FILE_NAME, Registry
from gateway.identity.tokens import FILE_NAME as TOKENS_FILE
from gateway.store.errors import StoreError
from gateway.store.files import DiskFiles
from gateway.store.verify import Verification, verify

VERIFIED_BYTES: Final = 256 << 20
"""A store up to this size is read whole; a card reads more than that in the time that a check has."""
FOLDER_FILES: Final = ("devices.json", "users.json", "tokens.json", "claims.json", "publishers.json", "page-token")
"""Files with secrets, which only the gateway's user may read."""
_STRING_NAMES: Final = ("CONNECTION_STRING", "ConnectionString")


def check_store(patient: Patient) -> Iterator[Finding]:
    """Its version, and whether it is damaged, by its own check."""
    folder = patient.data_dir / "store"
    if not folder.is_dir():
        raise NotCheckedError(f"there is no store yet: {folder} is made when the gateway first starts")
    size = store_bytes(folder)
    if size > VERIFIED_BYTES:
        raise NotCheckedError(
            f"the store holds {size / 1e6:.0f} MB, which takes too long to read here: gateway store verify"
        )
    try:
        result = verify(folder, DiskFiles(folder))
    except StoreError as error:
        yield problem(
            str(error).removesuffix("."),
            "the gateway does not start",
            "run the version that wrote it until it is empty, or move the folder away, with what is in it",
        )
        return
    except OSError as error:
        raise NotCheckedError(f"{folder} cannot be read: {error.strerror or error}") from error
    if result is None:
        raise NotCheckedError(f"there is no store in {folder} yet")
    yield _of_store(patient.data_dir, result)


def _of_store(data: Path, result: Verification) -> Finding:
    if not result.damage:
        return ok(f"{result.records} records in {result.segments} segments are readable")
    first = result.damage[0]
    return problem(
        f"{first.file}, byte {first.offset}: {first.what}" + (" and more" if len(result.damage) > 1 else ""),
        "the gateway does not start on it, or does not send on what is behind the damage",
        f"stop the gateway, then gateway store repair --data {data}: it keeps what can be read and says what is lost",
    )


def check_devices(patient: Patient) -> Iterator[Finding]:
    """The registry of devices, and who may read the files with secrets."""
    file = patient.data_dir / FILE_NAME
    try:
        roster = Registry(file).roster
    except LockedFileError as error:
        yield problem(
            str(error), "the gateway does not start, or goes on with what it knew", "see above, then try again"
        )
        return
    count, groups = len(roster.registrations), len(roster.groups)
    if not count and not groups and not patient.settings.upstream_amqp:
        yield warning(
            "no device is registered here, and no hub is asked about devices",
            "nobody is let in",
            "gateway devices add ID, or GATEWAY_UPSTREAM_AMQP, by which the hub decides",
        )
    else:
        yield ok(f"{count} devices and {groups} groups are registered")
    for name in FOLDER_FILES:
        yield from _of_mode(patient.data_dir / name)


def _of_mode(file: Path) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return
    if mode & 0o077:
        yield problem(
            f"{file} may be read by others (mode {mode:04o})",
            "whoever reads it can speak as a device",
            f"chmod 600 {file}; then gateway devices regenerate-key for those whom that may concern",
        )


def check_tokens(patient: Patient) -> Iterator[Finding]:
    """Tokens that devices have presented, by which their messages go up."""
    said = read_json(patient.data_dir / TOKENS_FILE)
    if said is None:
        raise NotCheckedError("no tokens of devices are kept here")
    tokens = said.get("tokens") if isinstance(said, dict) else None
    if not isinstance(tokens, dict):
        yield warning(
            f"{TOKENS_FILE} is none that this version wrote",
            "it is begun anew; devices present their tokens again",
            "nothing, unless it comes back",
        )
        return
    ended = [name for name, text in tokens.items() if (end := _end_of(str(text))) is None or end <= patient.now()]
    if ended:
        yield warning(
            f"the tokens of {len(ended)} of {len(tokens)} devices have ended, such as '{ended[0]}'",
            "what they have sent goes up when they come again with newer ones, and waits until then",
            "see that these devices renew their tokens, or give the gateway their keys: gateway devices add ID --key -",
        )
    else:
        yield ok(f"the tokens of {len(tokens)} devices are good")


def _end_of(token: str) -> float | None:
    try:
        return sas.parse(token).expires_at
    except ProtocolError:
        return None


def check_secrets(patient: Patient) -> Iterator[Finding]:
    """Connection strings: of the environment, and of endpoints. Their form is looked at, never shown."""
    found: list[Finding] = []
    for name, value in sorted(patient.environ.items()):
        if value and name.endswith(_STRING_NAMES) and not name.startswith("GATEWAY_ENDPOINT_"):
            found += _of_string(name, value, patient.now())
    found += _of_endpoints(patient.settings, patient.reading, patient)
    if not found:
        raise NotCheckedError("no connection string is set here")
    yield from found


def _of_string(name: str, text: str, now: float) -> Iterator[Finding]:
    fields = connection_fields(text)
    lacking = [field for field in ("HostName",) if not fields.get(field.lower())]
    if fields.get("sharedaccesskey"):
        try:
            sas.decode_key(fields["sharedaccesskey"])
        except ValueError:
            lacking.append("a SharedAccessKey in base64, of 16 to 64 bytes")
    elif fields.get("sharedaccesssignature"):
        yield from _of_signature(name, fields["sharedaccesssignature"], now)
    elif fields.get("x509", "").lower() != "true":
        lacking.append("SharedAccessKey")
    if lacking:
        yield problem(
            f"{name} has no {', no '.join(lacking)}",
            "whoever uses it is not let in",
            "copy the whole connection string again, from 'HostName=' on, and put it in quotes: it holds ';'",
        )
    else:
        yield ok(f"{name} is well-formed, for {fields.get('hostname')}")


def _of_signature(name: str, token: str, now: float) -> Iterator[Finding]:
    end = _end_of(token)
    if end is None or end <= now:
        says = "holds a token that is none" if end is None else "holds a token that has ended"
        yield problem(f"{name} {says}", "whoever uses it is not let in", "make a new one, or give a key instead")


def _of_endpoints(settings: Environment, reading: Reading | None, patient: Patient) -> Iterator[Finding]:
    if reading is None or reading.settings is None:
        return
    endpoints = reading.settings.endpoints
    lacking = dict(missing(endpoints.values(), settings.secrets_dir, patient.environ))
    for name in endpoints:
        if name in lacking:
            yield problem(
                f"endpoint '{name}': {lacking[name].removesuffix('.')}",
                "its messages wait in the store",
                f"write its connection string into the file (docs/endpoints.md); the folder is {settings.secrets_dir}",
            )
        else:
            yield ok(f"endpoint '{name}' has a usable secret")
