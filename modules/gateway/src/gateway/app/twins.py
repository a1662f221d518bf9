"""Where twins are kept: the file, and its key in the workload API where there is one."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from edgewire.message import Identity
from edgewire.transport.backoff import Backoff
from gateway.dispatch.twins import Twins
from gateway.identity.registry import Registry
from gateway.identity.workload import Workload, WorkloadError
from gateway.observe.events import Event
from gateway.observe.twin import TwinsNotOpened
from gateway.twin.opening import FILE_NAME, TwinsClosedError, Vault, VaultError, open_store
from gateway.twin.store import TwinStore, TwinStoreError

FIRST_TRY_S: Final = 1.0
LAST_TRY_S: Final = 300.0
"""Between tries to open the file: the workload API may come later, or somebody repairs what was said."""


class WorkloadVault:
    """The workload API as a vault: only this module on this machine decrypts what it encrypts (edgehub.md §6.5)."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload

    async def encrypt(self, plaintext: bytes, vector: bytes) -> bytes:
        """Raises VaultError."""
        try:
            return await self._workload.encrypt(plaintext, vector)
        except WorkloadError as error:
            raise VaultError(str(error)) from error

    async def decrypt(self, ciphertext: bytes, vector: bytes) -> bytes:
        """Raises VaultError."""
        try:
            return await self._workload.decrypt(ciphertext, vector)
        except WorkloadError as error:
            raise VaultError(str(error)) from error


def vault_of(environ: Mapping[str, str]) -> Vault | None:
    """The workload API that IoT Edge's variables name; None where they name none."""
    if not environ.get("IOTEDGE_WORKLOADURI"):
        return None
    try:
        return WorkloadVault(Workload.from_environment(environ))
    except WorkloadError:
        return None  # an environment without a module's name: no module's vault either


def is_gone(who: Identity, registry: Registry) -> bool:
    """Whether the operator has removed the device of `who`. A registry in which nobody stands says nothing."""
    roster = registry.roster
    if not roster.registrations and not roster.groups:
        return False
    own = (who, Identity(who.device))
    return not any(each in roster.registrations for each in own) and not registry.groups_for(who.device)


class TwinRoom:
    """Keeps twins in the data folder, from when their file can be opened until the gateway stops.

    `is_gone` says of an identity that its device was removed; `strangers_come`, that the hub lets devices in that the
    registry never held: then only those count as removed whom it held until now.
    """

    def __init__(
        self,
        twins: Twins,
        data: Path,
        vault: Vault | None,
        *,
        emit: Callable[[Event], None],
        is_gone: Callable[[Identity], bool],
        strangers_come: bool,
        backoff: Backoff | None = None,
    ) -> None:
        self._twins = twins
        self._path = data / FILE_NAME
        self._vault = vault
        self._emit = emit
        self._is_gone = is_gone
        self._strangers_come = strangers_come
        self._backoff = backoff or Backoff(first_s=FIRST_TRY_S, cap_s=LAST_TRY_S)

    @property
    def twins(self) -> Twins:
        """Where they are asked for."""
        return self._twins

    async def run(self) -> None:
        """Open the file, however many tries it takes, and work until cancelled."""
        store = await self._open()
        try:
            self._twins.keep_in(store)
            if not self._strangers_come:
                self.forget(store.identities())
            await self._twins.run()
        finally:
            with suppress(TwinStoreError):  # all that was acknowledged is on disk by then
                await store.close()

    def forget(self, changed: Collection[Identity]) -> None:
        """These were changed by the operator: nothing stays of those that were removed."""
        for who in changed:
            if self._is_gone(who):
                self._twins.forget(who)

    async def _open(self) -> TwinStore:
        while True:
            try:
                return await open_store(self._path, self._vault, self._emit)
            except TwinsClosedError as error:
                delay_s = self._backoff.next_delay_s()
                self._twins.closed_because(str(error))
                self._emit(TwinsNotOpened(str(error), delay_s))
                await asyncio.sleep(delay_s)
