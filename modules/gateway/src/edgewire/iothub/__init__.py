"""What IoT Hub and its devices agree on beside the protocols: names, topics, properties, tokens, sizes.

Pure functions on text and values: no clock, no I/O. Text of a peer causes ProtocolError and nothing else.
Ids in topics are compared as they stand, never decoded; only values of a bag, of a query and of a token are decoded,
once. What is written here can be read here, and in the same spelling as the official clients use.

Entry points: `topics.parse_events_topic`, `topics.parse_request_topic`, `topics.classify_filter` and the `format_…` of
each topic; `bag.read_bag` and `write_bag`; `username.parse_username`; `sas.parse`, `verify`, `make`;
`messages.envelope_for`, `message_size`; `limits` for every number.
"""
