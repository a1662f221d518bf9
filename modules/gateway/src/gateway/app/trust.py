"""Whom devices' certificates must lead to: from a file or from the workload API, followed without a restart."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from gateway.app.followed_files import LOOK_EVERY_S, FollowedFiles
from gateway.app.settings import ConfigError
from gateway.identity.certificates import CertificateError, TrustBundle
from gateway.identity.workload import Workload, WorkloadError
from gateway.observe.app import CertificateUnusable, TrustBundleReloaded
from gateway.observe.events import Event

WORKLOAD_EVERY_S: Final = 3600.0
"""How often the workload API is asked; IoT Edge changes its trust bundle with its own configuration."""

Emit = Callable[[Event], None]


class Source(Protocol):
    """Where a trust bundle comes from."""

    @property
    def name(self) -> str:
        """For a person."""
        ...

    @property
    def every_s(self) -> float:
        """How often to look."""
        ...

    def has_news(self) -> bool:
        """Whether it is worth reading again."""
        ...

    async def read(self) -> bytes:
        """The bundle as it is now, PEM. Raises ConfigError or WorkloadError."""
        ...


class TrustFile:
    """A bundle in a file."""

    every_s = LOOK_EVERY_S

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = FollowedFiles(lambda: (path,))
        self.name = str(path)

    def has_news(self) -> bool:
        """See Source."""
        return self._files.have_settled()

    async def read(self) -> bytes:
        """See Source."""
        self._files.take()
        return read_file(self._path)


class WorkloadTrust:
    """The bundle that IoT Edge gives to its modules."""

    name = "the trust bundle of the workload API"
    every_s = WORKLOAD_EVERY_S

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    def has_news(self) -> bool:
        """See Source: only asking tells."""
        return True

    async def read(self) -> bytes:
        """See Source."""
        return (await self._workload.trust_bundle()).encode()


class Trust:
    """A trust bundle and its source; made by `open`."""

    def __init__(self, source: Source, pem: bytes, emit: Emit) -> None:
        self._source = source
        self._pem = pem
        self._emit = emit
        self._complaint = ""
        self.bundle = TrustBundle(pem)

    @classmethod
    async def open(cls, source: Source, emit: Emit) -> "Trust":
        """The bundle as it is now. Raises ConfigError, WorkloadError or CertificateError."""
        return cls(source, await source.read(), emit)

    @property
    def pem(self) -> bytes:
        """The bundle as it stands in its source."""
        return self._pem

    async def keep(self, believe: Callable[[TrustBundle], None]) -> None:
        """Follow the source until cancelled; `believe` gets every new bundle."""
        while True:
            await asyncio.sleep(self._source.every_s)
            if self._source.has_news() and await self.look_again():
                believe(self.bundle)

    async def look_again(self) -> bool:
        """Whether there is a new bundle that can be used. One that cannot is said once, and the old one stays."""
        try:
            pem = await self._source.read()
            if pem == self._pem:
                self._complaint = ""
                return False
            bundle = TrustBundle(pem)
        except WorkloadError:
            return False  # away for a while: that says nothing about whom to believe
        except (ConfigError, CertificateError) as error:
            self._complain(f"{self._source.name}: {error}. The authorities before stay in force")
            return False
        self._pem, self.bundle, self._complaint = pem, bundle, ""
        self._emit(TrustBundleReloaded(self._source.name))
        return True

    def _complain(self, complaint: str) -> None:
        if complaint != self._complaint:
            self._complaint = complaint
            self._emit(CertificateUnusable(complaint))


def read_file(path: Path) -> bytes:
    """The content of a file that the settings name. Raises ConfigError with what to do."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}. Check that the file is there and the gateway's user may read it"
        ) from error
