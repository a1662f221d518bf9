"""Sockets for sans-IO sessions: one asyncio pump under plain TCP, TLS and WebSocket.

Bytes go `socket → TLS → WebSocket → session → owner` and back; each layer may be absent. A read is split as far as
it goes and answered with one write. A session sees neither a socket nor a task.

Invariants:
- Whatever a peer sends, and whatever a session or an owner raises, ends that one connection and no other.
- An owner hears `on_connected` once, after all handshakes, and `on_closed` once, as its last call.
- Whatever a peer can grow has a limit (`limits.py`): handshakes, HTTP heads, messages, what it does not read.
- TLS runs over memory BIOs (some 22 kB a connection; asyncio's own keeps 280 kB), 1.2 and 1.3, ECDHE with AEAD only.
- `tls.Profile.CONSTRAINED` is the exception, on listeners of its own: RSA key exchange and CBC, for small boards.

Entry points: `listener.listen`, `dialer.dial`, `pump.Session`, `pump.Owner`, `pump.Pump`, `tls.Security`,
`websocket.WebSocketService`, `reports` for what a listener tells besides.
"""
