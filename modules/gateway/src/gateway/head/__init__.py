"""Where devices connect: protocol words in, messages and identities out.

A head checks who somebody is before it does anything for them, takes the sender of a message from the login and never
from what the peer wrote, and acknowledges only what the store has said is on disk. A malformed, oversize or forbidden
message is refused as IoT Hub refuses it and counted, never acknowledged and lost.

Entry points: `mqtt.MqttHead` (one per gateway), `sessions.SessionStore`.
"""
