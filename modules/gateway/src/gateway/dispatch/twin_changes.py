"""What devices report, as messages for the routes that take twin changes: `/twinChangeNotifications`, and `/*`.

As at edgeHub only reported properties make one, and only here: a change of desired properties comes from the cloud,
which knows it. The sender is the device, where edgeHub names itself (docs/deviations.md).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from edgewire.message import Envelope, Identity, Message, MessageSource
from gateway.dispatch.ingress import AppendResult, Ingress
from gateway.observe.dispatch import TwinChangeNotKept
from gateway.observe.events import Event

_KIND: Final = "twinChangeNotification"


class TwinChanges:
    """Listens to `dispatch.twins`."""

    def __init__(self, ingress: Ingress, emit: Callable[[Event], None]) -> None:
        self._ingress = ingress
        self._emit = emit

    def on_reported(self, who: Identity, patch: Mapping[str, Any], version: int | None) -> None:
        """A report was accepted: by the cloud, or by our disk until the cloud is back. `version`: what it was told."""
        if not self._ingress.wants(MessageSource.TWIN_CHANGE):
            return
        reported = dict(patch) if version is None else {**patch, "$version": version}
        system = {
            "connectionDeviceId": who.device,
            "messageType": _KIND,
            "messageSchema": _KIND,
            "contentType": "application/json",
            "contentEncoding": "utf-8",
        }
        if who.module is not None:
            system["connectionModuleId"] = who.module
        envelope = Envelope(sender=who, properties={}, system=system, source=MessageSource.TWIN_CHANGE)
        body = orjson.dumps({"properties": {"reported": reported}})
        self._ingress.accept([Message(envelope, body)], self._on_result)

    def _on_result(self, result: AppendResult) -> None:
        if result is not AppendResult.STORED:
            self._emit(TwinChangeNotKept())
