"""Talks to a running stand-in over its control socket: what the commands use."""

import http.client
import socket
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import orjson

_TIMEOUT_S: Final = 320.0
"""Longer than a method may take (300 s)."""


class ControlError(Exception):
    """The stand-in did not do it; the sentence says why, `status` is that of its answer (0: there was none)."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("standin", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))


class Control:
    """The control API of the stand-in that runs in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "control.sock"

    def ask(self, method: str, path: str, body: object = None, **query: str | float) -> Any:
        """Make one call. Returns the answer's JSON; raises ControlError."""
        connection = _UnixConnection(self._path)
        try:
            payload = None if body is None else orjson.dumps(body)
            connection.request(method, f"{path}?{urlencode(query)}" if query else path, body=payload)
            response = connection.getresponse()
            answer = orjson.loads(response.read())
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
            what = f"nobody answers at {self._path} ({error}); start it: `standin run --dir {self._path.parent}`."
            raise ControlError(0, what) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise ControlError(response.status, answer["message"])
        return answer
