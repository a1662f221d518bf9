"""State machines of the protocols, one object per connection, without I/O: `mqtt` and `amqp`.

`receive(data, now)` gives events, calls queue bytes, `take_output()` hands them over, `deadline()` and
`on_deadline(now)` are its only notion of time. A decision that is not the protocol's (are these credentials good?)
goes out as an event and comes back as a call. After a ProtocolError the session is dead for good.
"""
