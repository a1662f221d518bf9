"""What two peers must agree on: bytes, names, and the rules of a conversation.

The gateway and the stand-in both build on it. Only `edgewire.transport` does I/O; everything else is values and
state machines that take bytes and the time, and give events and bytes.
"""
