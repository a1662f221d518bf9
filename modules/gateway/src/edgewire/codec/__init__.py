"""Bytes to packets and back, for the protocols that devices speak: `mqtt` and `amqp`.

Nothing in here knows a connection, a clock or a role: readers take bytes and give values, writers the reverse.
What a peer's bytes can cause is a value or a `ProtocolError`; what our own values can cause is a `UsageError`.
"""
