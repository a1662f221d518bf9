"""Whom the doctor examines in tests: a data folder, variables, and servers that answer well or badly."""

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gateway.doctor.finding import Finding, NotCheckedError, Verdict
from gateway.doctor.patient import Patient, Running, find_patient
from support.certificates import Credential

PATIENCE_S: Final = 20.0
STATUS: Final[Mapping[str, Any]] = {"settings": {"lastOfferWasGood": True}}
HOST: Final = "gateway.test"


def patient_of(
    data: Path,
    *,
    document: Any = None,
    running: Any = False,
    now: Any = None,
    **environ: str,
) -> Patient:
    """A patient with these variables; `running` is the process of a gateway that runs, True for one without.

    `now` is its clock in seconds. Both are Any, as the variables of tests come by `**`.
    """
    found = find_patient({"GATEWAY_HOST_NAME": HOST, **environ}, data=data, document=document, document_name="FILE")
    changes: dict[str, Any] = {} if now is None else {"now": lambda: now}
    if running:
        changes["running"] = Running(status=STATUS, pid=None if running is True else running)
    fields = {name: getattr(found, name) for name in Patient.__dataclass_fields__}
    return Patient(**(fields | changes))


def findings(check: Callable[[Patient], Iterable[Finding]], patient: Patient) -> list[Finding]:
    """All that a check finds; what it could not look at is a finding too."""
    found: list[Finding] = []
    try:
        found.extend(check(patient))
    except NotCheckedError as reason:
        found.append(Finding(verdict=Verdict.NOT_CHECKED, says=str(reason)))
    return found


def one(check: Callable[[Patient], Iterable[Finding]], patient: Patient) -> Finding:
    """The only thing that a check finds."""
    (finding,) = findings(check, patient)
    return finding


def verdicts(found: Iterable[Finding]) -> list[str]:
    """The verdicts alone."""
    return [finding.verdict.value for finding in found]


@contextlib.contextmanager
def server(answer: bytes, credential: Credential | None = None, *, wants: int = 1) -> Iterator[int]:
    """A server on 127.0.0.1, with TLS if it has a certificate: hears `wants` bytes, answers, closes. Gives its port."""
    context = None if credential is None else _context(credential)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        thread = threading.Thread(target=_serve, args=(listener, context, answer, wants), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(PATIENCE_S)


def _context(credential: Credential) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(credential.pem + credential.key_pem)
        context.load_cert_chain(file.name)
    return context


def _serve(listener: socket.socket, context: ssl.SSLContext | None, answer: bytes, wants: int) -> None:
    while True:
        try:
            line, _ = listener.accept()
        except OSError:
            return
        line.settimeout(PATIENCE_S)
        with contextlib.suppress(OSError), line:
            secure = line if context is None else context.wrap_socket(line, server_side=True)
            with secure:
                if len(secure.recv(wants)) > 0:
                    secure.sendall(answer)


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port of 127.0.0.1 that answers nobody: its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield listener.getsockname()[1]
