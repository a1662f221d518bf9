"""IoT Hub's limits by name, and ours where it has none."""

from typing import Final

MAX_MESSAGE_BYTES: Final = 262_144
"""A message from a device: body and properties, counted as `messages.message_size` does. edgeHub's own figure."""
MAX_C2D_MESSAGE_BYTES: Final = 65_536
"""A message to a device."""
MAX_PACKET_BYTES: Final = 262_144
"""An MQTT packet; edgeHub's decoder closes the connection on more."""
MAX_TOPIC_BYTES: Final = 65_535
"""MQTT 3.1.1 §1.5.3: a string has two bytes of length."""
SENDER_ROOM_BYTES: Final = 2_048
"""Ours: kept free in a leaf device's message, for the names of its sender that the gateway adds on the way and for what
edgeHub adds before it measures. Without it a message could be acknowledged here and refused there."""
SENDER_ROOM_TOPIC_BYTES: Final = 4_096
"""Ours: the same in a topic, where each byte of a name may take three, with the topic's own start."""
MAX_BATCH_MESSAGES: Final = 500
"""Messages in one batch."""
MAX_BATCH_BYTES: Final = 262_144
"""A batch that we send, all of it as encoded; IoT Hub's limit for a message counts for a batch too."""
MAX_TRANSFER_BYTES: Final = 614_400
"""A transfer from a device, batch or not; edgeHub's own figure."""

MAX_ID_CHARS: Final = 128
"""A device id or a module id."""
MAX_USERNAME_CHARS: Final = 4096
"""Ours: two ids, a hub and an SDK's description of itself are some hundred characters."""
MAX_TOKEN_CHARS: Final = 4096
"""Ours: a resource of two ids, fully escaped, is below 1000."""
MAX_PROPERTIES: Final = 256
"""Ours: properties of one message, system properties included; a topic has room for thousands of empty ones."""
MAX_ADDRESS_CHARS: Final = 2048
"""Ours: the address of a link; two ids, fully escaped, and a host take below 1,200."""
MAX_LINK_PROPERTY_CHARS: Final = 4096
"""Ours: a property of a link, as long as a user name may be: an SDK's description of itself, or a chain of ids."""
MAX_REQUEST_ID_CHARS: Final = 256
"""Ours: `$rid` of twins and methods; the SDKs use a number or a uuid."""

MAX_METHOD_NAME_CHARS: Final = 100
MAX_METHOD_PAYLOAD_BYTES: Final = 131_072
MAX_TWIN_SECTION_BYTES: Final = 32_768
"""Desired and reported properties, each."""
MAX_TWIN_NAME_BYTES: Final = 1024
MAX_TWIN_TEXT_BYTES: Final = 4096
MAX_TWIN_DEPTH: Final = 10
MAX_TWIN_INTEGER: Final = 2**52

TOKEN_SKEW_S: Final = 300.0
"""A token counts this long beyond its expiry: edgeHub's allowance for clocks that differ."""
LAST_EXPIRY_S: Final = 253_402_300_799
"""The last second of the year 9999: an expiry beyond it is no date for IoT Hub either."""
