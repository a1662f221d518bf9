"""What IoT Hub and its devices agree on over AMQP 1.0: addresses, link properties, tokens, and messages both ways.

Pure functions on values of `edgewire.codec.amqp`; a peer's values cause ProtocolError and nothing else. An AMQP message
and a property bag of MQTT say the same things in different places: both become the `Bag` of `edgewire.iothub.bag`.

Entry points: `addresses.parse_address`; `links.read_link_properties`; `sasl.read_plain`; `cbs.read_put_token`,
`write_reply`, `identities_of`; `messages.read_transfer`, `write_telemetry`, `write_batches`;
`devicebound.read_devicebound`, `write_devicebound`; `methods` and `twins`, each message both ways.
Spec: edgehub.md §5, iothub_wire.md §2, amqp.md §7.
"""
