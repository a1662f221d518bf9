"""A local IoT Hub, edgeHub and workload API: for development and tests, never deployed.

Devices and modules connect over MQTT or AMQP (TLS, or WebSocket); what goes `INTO $upstream` is kept as an event and
can be listed. What IoT Hub refuses is refused here too, and where its behaviour is not written down we are stricter.

Invariants: a PUBACK or `accepted` follows the commit of its event; the id in a topic or address is the authenticated
one; all state lies in the run directory, and a second run over it goes on where the first stopped.

Entry points: `standin.app.StandIn` (in a test), `standin.cli.main` (the command `standin`). Never imports `gateway`.
"""
