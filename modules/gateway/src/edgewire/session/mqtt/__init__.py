"""MQTT sessions: `server.ServerSession` is the server's side of one connection, for levels 3, 4 and 5.

- `events` is what it reports, `limits` all that a peer may grow, `refusal` why a CONNECT is turned down,
  `states` the whole state machine as tables; `inflight` keeps what we sent, `aliases` what the peer abbreviates.

Invariants: nothing is acknowledged but by a call; packets behind a CONNECT wait, bounded, until it is accepted and are
dropped if it is refused; QoS 2 does not exist here, as it does not in IoT Hub; calls on a dead session do nothing, as
the connection may end while a disk or a cloud is asked.
"""
