"""How the file of twins is opened: whose key, and what if there is none.

in the file      a vault here        what is done
no key           none                twins lie there as they are
no key           yes                 a key is made, wrapped by the vault and kept; what is there is encrypted by it
a wrapped key    yes                 it is unwrapped; if that gives another key, the file stays as it is
a wrapped key    none                the file stays as it is
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol, TypeVar

from edgewire.message import Identity
from gateway.observe.events import Event
from gateway.observe.twin import TwinsNotEncrypted, TwinsSetAside
from gateway.twin import file as files
from gateway.twin.file import TwinFile, WrappedKey
from gateway.twin.sealing import KEY_BYTES, KeySeal, PlainSeal, Seal, SealError
from gateway.twin.store import TwinStore

FILE_NAME: Final = "twins.db"
VECTOR_BYTES: Final = 16
T = TypeVar("T")


class VaultError(Exception):
    """The vault did not do it; the text says why."""


class Vault(Protocol):
    """Keeps a key that never leaves it: what it encrypts, only it decrypts."""

    async def encrypt(self, plaintext: bytes, vector: bytes) -> bytes:
        """Raises VaultError."""
        ...

    async def decrypt(self, ciphertext: bytes, vector: bytes) -> bytes:
        """What `encrypt` was given, with the same vector. Raises VaultError."""
        ...


class TwinsClosedError(Exception):
    """The file cannot be used now; it was left as it is, and the text says what to do."""


async def open_store(path: Path, vault: Vault | None, emit: Callable[[Event], None]) -> TwinStore:
    """The store in this file. Raises TwinsClosedError."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-twins")
    opened: TwinFile | None = None
    try:
        opened = await _in(thread, lambda: files.open_file(path))
        if opened.damage is not None:
            emit(TwinsSetAside(str(files.aside(path)), opened.damage))
        seal = await _seal_for(path, opened, vault, thread)
        if vault is None:
            emit(TwinsNotEncrypted(str(path)))
        return TwinStore(thread, opened, seal, emit)
    except BaseException as error:
        if opened is not None:
            await _in(thread, opened.database.close)
        thread.shutdown(wait=False)
        if isinstance(error, sqlite3.Error | OSError):
            raise TwinsClosedError(
                f"{path} cannot be used: {error}. Check that the gateway's user may write it and that there is space"
            ) from error
        raise


async def _seal_for(path: Path, opened: TwinFile, vault: Vault | None, thread: ThreadPoolExecutor) -> Seal:
    if opened.key is not None:
        return await _unwrapped(path, opened.key, vault)
    if vault is None:
        return PlainSeal()
    key = os.urandom(KEY_BYTES)
    seal = KeySeal(key)
    vector = os.urandom(VECTOR_BYTES)
    try:
        wrapped = await vault.encrypt(key, vector)
    except VaultError as error:
        raise TwinsClosedError(f"the workload API did not wrap the key of {path}: {error}") from error
    try:
        await _in(thread, lambda: _encrypt(opened, WrappedKey(wrapped, vector, seal.proof()), seal))
    except SealError as error:
        raise TwinsClosedError(
            f"{path} holds a twin that cannot be read ({error}), and its key is not there. Put a copy of the file "
            f"back, or move {path.name} away: twins are read from the cloud again, and reports that still wait in it "
            "are lost"
        ) from error
    return seal


async def _unwrapped(path: Path, key: WrappedKey, vault: Vault | None) -> Seal:
    instead = (
        f"or move {path.name} away: twins are read from the cloud again, and reports that still wait in it are lost"
    )
    if vault is None:
        raise TwinsClosedError(
            f"{path} is encrypted by a key of the workload API, and there is none here. Start the gateway where "
            f"IOTEDGE_WORKLOADURI names the one that it had, {instead}"
        )
    try:
        seal = KeySeal(await vault.decrypt(key.wrapped, key.vector))
    except (VaultError, ValueError) as error:
        raise TwinsClosedError(
            f"the workload API did not unwrap the key of {path}: {error}. If the module was removed and created "
            f"again, its old key is gone: bring the module's identity back, {instead}"
        ) from error
    if not seal.proves(key.proof):
        raise TwinsClosedError(
            f"the workload API unwrapped another key than that of {path}. Bring the module's identity back, {instead}"
        )
    return seal


def _encrypt(opened: TwinFile, key: WrappedKey, seal: Seal) -> None:
    """Keep the key, and encrypt what lies there as it is."""
    plain = PlainSeal()

    def again(who: Identity, sealed: bytes) -> bytes:
        return seal.close(who, plain.open(who, sealed))

    files.encrypt_all(opened.database, key, opened.held, again)


async def _in(thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(thread, work)
