"""AMQP 1.0: its types, frames, performatives and message sections, read and written.

- `types` reads and writes single values; `performatives` holds the composite values, `composites` their tables;
- `frames` cuts a byte stream into frames; `transfers` is the short way for what comes once per message;
- `message` is what a transfer carries: sections, and Azure's batches; `conditions` names the errors.

Invariants: peer bytes cause ProtocolError and nothing else, with the AMQP error condition in `reply`; depth, sizes
and counts are checked before they are used; what is written is at full length, trailing nulls included, since Azure's
own Python client reads fields by index; what is read back from what was written is equal to it.
"""
