"""IoT Hub's HTTPS device API: its paths, its headers as properties, and its batches, both ways.

Pure. `paths` says what a request is for, `properties` reads and writes a message's headers by the rules of the bag,
`batch` the JSON that carries many messages. A ProtocolError's `reply` is the status of the answer.
Spec: iothub_wire.md §3, §1.11, edgehub.md §6.1.
"""
