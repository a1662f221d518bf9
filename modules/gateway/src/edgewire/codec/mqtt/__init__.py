"""MQTT 3.1, 3.1.1 and 5 packets: every packet of each version, read and written.

- `frames` cuts a byte stream into packets, once per read, and refuses a packet from its fixed header.
- `v3` (levels 3 and 4) and `v5` turn one packet's body into a value of `packets` and a value into bytes;
  `connect` does it for CONNECT, whose body says which version follows.
- `properties` and `reasons` are MQTT 5's tables; `topics` holds the rules for names and filters.

Invariants: what is read back from what was written is equal to it; a reader accepts no byte that the version
forbids; peer bytes cause ProtocolError and nothing else, with the MQTT 5 reason code in `reply`.
"""
