"""Who is examined: a gateway that runs, one that does not, or a deployment that is yet to be."""

import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.app.asking import HangsError, NobodyAnswersError, ask
from gateway.app.control import SOCKET_NAME, QuestionError
from gateway.app.document import Reading, read_settings
from gateway.app.settings import ConfigError, Environment, read_environment
from gateway.doctor.finding import NotCheckedError

STATUS_S: Final = 4.0
"""For the running gateway to say how it is; one that hangs is said not to answer."""
SETTINGS_FILE: Final = "settings.json"
_OURS: Final = ("GATEWAY_", "IOTEDGE_", "EdgeDeviceHostName", "EDGEDEVICEHOSTNAME", "EdgeHub", "EdgeModule")
"""How the variables begin that a gateway reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """The gateway that has the control socket open. `pid` is None where its process cannot be seen from here."""

    status: Mapping[str, Any] | None
    """None if it hangs."""
    pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What all checks look at. `environ` is the running gateway's own where it can be read, else the command's."""

    environ: Mapping[str, str] = field(repr=False)
    environment: Environment | None
    """None if the settings of the container cannot be used: `complaints` says why."""
    complaints: tuple[str, ...]
    data_dir: Path
    running: Running | None
    silent: str
    """Why no gateway answered; empty if one did."""
    document: Any
    """What the command line names: settings, or a deployment; None if nothing."""
    reading: Reading | None
    """The settings document that counts, checked; None if there is none."""
    reading_name: str
    is_here: bool
    """Something says that a gateway runs, or is to run, on this machine or in this container."""
    now: Callable[[], float] = time.time

    @property
    def has_environment(self) -> bool:
        """Whether `environ` is a gateway's, and more than where its data is."""
        names = {name for name in self.environ if name.startswith(_OURS)} - {"GATEWAY_DATA_DIR"}
        return self.running is not None or bool(names)

    @property
    def settings(self) -> Environment:
        """The settings of the container. Raises NotCheckedError."""
        if self.environment is None:
            raise NotCheckedError("the settings of the container cannot be used (see settings)")
        return self.environment

    @property
    def is_in_container(self) -> bool:
        """Whether IoT Edge has started this."""
        return "IOTEDGE_WORKLOADURI" in self.environ


def find_patient(
    environ: Mapping[str, str],
    *,
    data: Path | None = None,
    document: Any = None,
    document_name: str = "",
    module: str | None = None,
) -> Patient:
    """Who is to be examined, as the command line and the environment say; asks the gateway if one runs."""
    environ = dict(environ)
    if data is not None:
        environ["GATEWAY_DATA_DIR"] = str(data)
    folder = Path(environ.get("GATEWAY_DATA_DIR") or "/data")
    running, silent = _ask(folder)
    if running is not None and running.pid is not None:
        environ = environ_of(running.pid) or environ
    environment, complaints = _settings(environ)
    reading, name = _reading(environment, folder, document, document_name, module)
    return Patient(
        environ=environ,
        environment=environment,
        complaints=complaints,
        data_dir=folder,
        running=running,
        silent=silent,
        document=document,
        reading=reading,
        reading_name=name,
        is_here=running is not None or any(name.startswith(_OURS) for name in environ),
    )


def _ask(folder: Path) -> tuple[Running | None, str]:
    try:
        status = ask(folder, {"ask": "status"}, within_s=STATUS_S)
    except HangsError as error:
        return Running(status=None, pid=_peer(folder / SOCKET_NAME)), str(error)
    except (NobodyAnswersError, QuestionError) as error:
        return None, str(error)
    return Running(status=status, pid=_peer(folder / SOCKET_NAME)), ""


def _peer(path: Path) -> int | None:
    """The process at the other end of the socket; None where it is in another room, as seen from here."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(STATUS_S)
            line.connect(str(path))
            credentials = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    pid = int(struct.unpack("3i", credentials)[0])
    return pid or None


def running_environ(folder: Path) -> Mapping[str, str]:
    """The environment of the gateway that runs on this data folder; nothing if none does, or we may not see it."""
    pid = _peer(folder / SOCKET_NAME)
    return {} if pid is None else environ_of(pid)


def environ_of(pid: int) -> dict[str, str]:
    """The environment of a process as it began; nothing if we may not see it."""
    try:
        lines = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return {
        os.fsdecode(name): os.fsdecode(value) for name, _, value in (line.partition(b"=") for line in lines if line)
    }


def _settings(environ: Mapping[str, str]) -> tuple[Environment | None, tuple[str, ...]]:
    try:
        return read_environment(environ), ()
    except ConfigError as error:
        return None, tuple(str(error).splitlines())


def _reading(
    environment: Environment | None, folder: Path, document: Any, name: str, module: str | None
) -> tuple[Reading | None, str]:
    """The document that counts: the one that is named, else the file of the settings, else the last good one."""
    if document is not None:
        return read_settings(document, module=module), name
    if environment is not None and environment.settings_file is not None:
        found = read_json(environment.settings_file)
        return (None if found is None else read_settings(found)), str(environment.settings_file)
    kept = read_json(folder / SETTINGS_FILE)
    last_good = kept.get("document") if isinstance(kept, dict) else None
    return (None if last_good is None else read_settings(last_good)), str(folder / SETTINGS_FILE)


def read_json(path: Path) -> Any:
    """The JSON in a file, None if there is none to be had."""
    try:
        return orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
