"""AMQP 1.0 connections: `server.AmqpServer` for who is dialled, `client.AmqpClient` for who dials.

- `connection` is what both have in common, `sasl` the layer in front; `session` windows and channels, `receiving` and
  `sending` transfers, `link` the values in between, `outbox` what waits to be written.
- `events` is what they report, `limits` all that a peer may grow, `states` the machines as tables, `faults` how far a
  fault reaches, `serial` the arithmetic of ids.

Invariants: what ends a link leaves its session alone, what ends a session its connection; links are known by session
and handle, never by name; nothing is settled but by a call; nothing is read behind a question to the owner (SASL,
open) until its answer; calls on what has ended do nothing, as it may end while a disk or a cloud is asked.
"""
