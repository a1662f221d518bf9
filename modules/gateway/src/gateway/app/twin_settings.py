"""The module twin towards the configuration: desired properties in, reported properties out."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from edgewire.transport.backoff import Backoff
from gateway import __version__
from gateway.app.configuration import DEFAULT_DOCUMENT, Configuration
from gateway.app.reported import patch_from, reported
from gateway.observe.configuration import SettingsSource, TwinTryFailed
from gateway.observe.events import Event
from gateway.upstream.methods import ModuleMethods
from gateway.upstream.proxy import CloudProxy, CloudRefusedError, Document, LinkState, MethodReply, NotConnectedError

MAX_PATCHES: Final = 100
"""Patches that wait to be merged; with more the twin is read anew, which says the same."""


def merge(document: Document, patch: Document) -> dict[str, Any]:
    """`document` after a merge patch: objects merge, null removes, all else replaces. RFC 7396.

    Names with `$` are IoT Hub's own and are left out.
    """
    merged = {name: value for name, value in document.items() if not name.startswith("$")}
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping):
            before = merged.get(name)
            merged[name] = merge(before if isinstance(before, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged


class DesiredSettings:
    """The desired properties as far as they are known, offered to the configuration whenever they change."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._document: Document = {}
        self._version: int | None = None
        self._patches: list[Document] = []
        self._overrun = False

    def on_patch(self, patch: Document) -> None:
        """A patch arrived; `take_patches` merges it."""
        self._patches.append(patch)
        if len(self._patches) > MAX_PATCHES:
            self._patches.clear()
            self._overrun = True

    async def take_twin(self, desired: Document) -> None:
        """The whole of the desired properties was read."""
        self._overrun = False
        version = _version(desired)
        if version is not None and version == self._version:
            return
        self._document, self._version = merge(desired, {}), version
        await self._offer()

    async def take_patches(self) -> bool:
        """Merge those that follow on what is known; False if one between is missing, and the twin must be read."""
        patches, self._patches = self._patches, []
        complete, merged = not self._overrun, False
        for patch in patches:
            version = _version(patch)
            if version is None or self._version is None or version > self._version + 1:
                complete = False
            elif version == self._version + 1:
                self._document, self._version = merge(self._document, patch), version
                merged = True
        if merged and complete:
            await self._offer()
        return complete

    async def _offer(self) -> None:
        """A twin in which nobody has set anything means the default."""
        document = self._document or DEFAULT_DOCUMENT
        source = SettingsSource.TWIN if self._document else SettingsSource.DEFAULT
        await self._configuration.offer(document, self._version, source)


class TwinSync:
    """Keeps the module twin and the configuration the same, and answers direct methods: a `CloudListener`.

    `desired`: None where a local file sets the settings; then the twin is only told what became of them.
    """

    def __init__(
        self,
        *,
        configuration: Configuration,
        desired: DesiredSettings | None,
        proxy: CloudProxy,
        methods: ModuleMethods,
        connections: Callable[[], Mapping[str, Any]],
        certificates: Callable[[], Mapping[str, Any]] = dict,
        emit: Callable[[Event], None],
        backoff: Backoff | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._configuration = configuration
        self._desired = desired
        self._proxy = proxy
        self._methods = methods
        self._connections = connections
        self._certificates = certificates
        self._emit = emit
        self._backoff = backoff or Backoff(first_s=2.0, cap_s=60.0)
        self._sleep = sleep
        self._wake = asyncio.Event()
        self._stale = True
        self._known: Document = {}
        """The reported properties as the cloud has them."""

    def on_connected(self) -> None:
        """Whatever changed while there was no link must be read."""
        self._stale = True
        self._wake.set()

    def on_desired(self, patch: Document) -> None:
        """Desired properties changed."""
        if self._desired is not None:
            self._desired.on_patch(patch)
            self._wake.set()

    async def on_method(self, name: str, payload: Any) -> MethodReply:
        """Answer a direct method."""
        return await self._methods.call(name, payload)

    def changed(self) -> None:
        """There is something new to report: a verdict on settings, devices that came or went, certificates."""
        self._wake.set()

    async def run(self) -> None:
        """Keep both sides the same until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            # Before the first link, on_connected will wake us.
            if self._proxy.status().state is not LinkState.CONNECTED:
                continue
            try:
                await self._synchronise()
            except (NotConnectedError, CloudRefusedError) as error:
                self._stale = True
                await self._try_later(str(error))
            else:
                self._backoff.reset()

    async def _try_later(self, reason: str) -> None:
        if self._proxy.status().state is LinkState.CONNECTED:
            delay_s = self._backoff.next_delay_s()
            self._emit(TwinTryFailed(reason, delay_s))
            await self._sleep(delay_s)
            self._wake.set()

    async def _synchronise(self) -> None:
        complete = False
        while not complete:
            if self._stale:
                twin = await self._proxy.twin()
                self._stale = False
                self._known = twin.get("reported") or {}
                if self._desired is not None:
                    await self._desired.take_twin(twin.get("desired") or {})
            complete = self._desired is None or await self._desired.take_patches()
            self._stale = self._stale or not complete
        await self._report()

    async def _report(self) -> None:
        verdict = self._configuration.verdict
        if verdict is None:
            return
        document = reported(
            verdict,
            good_version=self._configuration.good_version,
            good_source=self._configuration.good_source.value,
            gateway_version=__version__,
            connections=self._connections(),
            certificates=self._certificates(),
        )
        patch = patch_from(self._known, document)
        if patch:
            await self._proxy.report(patch)
            self._known = merge(self._known, patch)


def _version(document: Document) -> int | None:
    version = document.get("$version")
    return version if isinstance(version, int) else None
