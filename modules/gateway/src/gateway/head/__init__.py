"""Where devices connect: protocol words in, messages and identities out.

A head checks who somebody is before it does anything for them, takes the sender of a message from the login and never
from what the peer wrote, and acknowledges only what the store has said is on disk. A malformed, oversize or forbidden
message is refused as IoT Hub refuses it and counted, never acknowledged and lost.

`amqp` is one connection, `amqp_guest` one identity that is let in on it, `amqp_telemetry` what it sends; `amqp_cbs`,
`amqp_answers` and `amqp_links` are the other links, `amqp_credentials` what was shown, `amqp_line` what they share.
`foreign` and its neighbours are the other way round: a client of a broker that the site has, with a thread of its own.

Entry points: `mqtt.MqttHead` and `amqp.AmqpHead` (one per gateway each), `sessions.SessionStore`.
"""
