"""A device that takes messages, which come to a test, and answers methods with what they were called with."""

from typing import Any, Final

from support.azure_device import Inbox
from support.paho_device import PahoDevice

METHODS: Final = "$iothub/methods/POST/"
STATUS: Final = 201
"""Of every answer to a method."""


async def hearing(device: PahoDevice) -> Inbox:
    """From now on the device takes messages, which come here as topic and body, and answers each method."""
    granted, messages = Inbox(), Inbox()

    def on_message(_client: Any, _data: Any, message: Any) -> None:
        if message.topic.startswith(METHODS):
            rid = message.topic.partition("/?$rid=")[2]
            device.client.publish(f"$iothub/methods/res/{STATUS}/?$rid={rid}", message.payload)
        else:
            messages((message.topic, message.payload))

    device.client.on_subscribe = lambda *_: granted(None)
    device.client.on_message = on_message
    device.client.subscribe([(f"devices/{device.device}/messages/devicebound/#", 1), (f"{METHODS}#", 1)])
    await granted.next()
    return messages
