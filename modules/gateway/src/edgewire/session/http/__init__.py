"""HTTP/1.1 for who is dialled: `server.HttpSession`, on h11, whose lenience is refused before it sees it.

- `client.HttpCall` is the other side, for one call over a connection that we dial.
- `events` is what a session reports: whole requests, one at a time. `limits` is all that a peer may grow.
- A request that comes while another is being answered waits, unread, until `receive` is called after the answer.

Invariants: one answer per request, in their order; after a ProtocolError nothing is read any more; no request is
reported whose end two readers could see at different places (RFC 9112 §11.2).
"""
