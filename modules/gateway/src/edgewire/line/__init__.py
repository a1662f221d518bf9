"""The hot part of the straight line: what is done with the bytes of every message, from its packet to its PUBACK.

Written once, in plain Python, and compiled from that source as one group (`make compiled`, docs/decisions/); where
nothing is compiled the same files run as they are, and pass the same tests.

`packets`           `Frame`, `split`, `publish_parts`, `read_varint`, `check_shortest`: a stream cut into packets, and
                    where the parts of a PUBLISH stand. Called by `codec.mqtt`.
`names`             `TopicCache`, `check_topic_name`, `decode_text`: a topic from its bytes. `BagNames`, `split_bag`,
                    `sort_pairs`: names and values at a topic's end. Called by `codec.mqtt`, `iothub.bag`.
`escapes`           `percent_decode`, `percent_encode`, `percent_encoded_size`. Called by `iothub`, heads, commands.
`bodies`            `read_object`, `members_at`, `Selection`, `MAX_DEPTH`, `MAX_SELECTED`, `SELECTED_FROM`: what routes
                    ask a body for. Called by `gateway.routing`.
`records`           `Encoder`, `Batch`, `Plan` and the layout, `RECORD`, `DELIVERY`, `NO_LIMIT`, `PARTS`, `PLANS`.
                    `envelopes`: `write_envelope`, `read_envelope`, `EnvelopeReader`. Called by `gateway.store`.
`acknowledgements`  `pubacks`: a batch's answers. Called by `session.mqtt.server`.

Invariants: bytes and values in, bytes and values out; equal input gives equal output, compiled or not. Peer bytes cause
a ProtocolError or a documented None, nothing else. Nothing in here knows a clock, a socket, a task, chance or a log.
"""
