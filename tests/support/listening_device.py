"""A device that hears all that is meant for it: messages, calls, its twin. Calls are answered with their payload."""

import json
from typing import Any, Final

from edgewire.message import identity
from standin.app import StandIn
from support.azure_device import Inbox
from support.gateway_site import PATIENCE_S, until
from support.paho_device import PahoDevice

METHODS: Final = "$iothub/methods/POST/"
TWIN: Final = "$iothub/twin/"


class ListeningDevice:
    """What comes to `device`, by its kind."""

    def __init__(self, device: PahoDevice) -> None:
        self._device = device
        self._subscribed, self._answers = Inbox(), Inbox()
        self.messages, self.desired = Inbox(), Inbox()
        device.client.on_subscribe = lambda *_: self._subscribed(None)
        device.client.on_message = lambda _client, _data, message: self._on_message(message.topic, message.payload)

    async def subscribe(self) -> None:
        """Take all of it."""
        filters = [f"devices/{self._device.device}/messages/devicebound/#", METHODS + "#"]
        filters += [TWIN + "res/#", TWIN + "PATCH/properties/desired/#"]
        self._device.client.subscribe([(name, 1) for name in filters])
        await self._subscribed.next()

    async def twin(self) -> Any:
        """The whole twin."""
        status, twin = await self._ask("GET/?$rid=1")
        assert status == "200"
        return twin

    async def report(self, **properties: str) -> None:
        """Reported properties, once they are taken."""
        status, _ = await self._ask("PATCH/properties/reported/?$rid=2", json.dumps(properties))
        assert status == "204"

    async def hears(self, body: bytes) -> None:
        """Return when this message has come; what was under way when a link ended may come before, once more."""
        while await self.messages.next() != body:
            pass

    async def is_to_be(self, name: str, value: str) -> None:
        """Return when it has heard of this desired property."""
        while (await self.desired.next()).get(name) != value:
            pass

    async def _ask(self, topic: str, body: str = "") -> tuple[str, Any]:
        self._device.client.publish(TWIN + topic, body)
        topic, payload = await self._answers.next()
        return topic.split("/")[3], json.loads(payload) if payload else None

    def _on_message(self, topic: str, payload: bytes) -> None:
        if topic.startswith(METHODS):
            rid = topic.partition("?$rid=")[2]
            self._device.client.publish(f"$iothub/methods/res/200/?$rid={rid}", payload)
        elif topic.startswith(TWIN + "res/"):
            self._answers((topic, payload))
        elif topic.startswith(TWIN):
            self.desired(json.loads(payload))
        else:
            self.messages(payload)


async def exchange(hub: StandIn, device: str, listening: ListeningDevice, word: str) -> None:
    """A message, a call and a change of the twin reach the device, its report reaches the hub; all say `word`."""
    who = identity(device)
    hub.send_c2d(who, word.encode())
    await listening.hears(word.encode())
    await until(lambda: hub.hub.c2d_waiting(who) == 0)
    called = await hub.hub.invoke_method(who, "m", {"at": word}, connect_timeout_s=PATIENCE_S)
    assert (called.status, json.loads(called.payload)) == (200, {"at": word})
    await listening.report(**{word: "reported"})
    await until(lambda: hub.reported(who).get(word) == "reported")
    hub.set_desired(who, {"at": word})
    await listening.is_to_be("at", word)
