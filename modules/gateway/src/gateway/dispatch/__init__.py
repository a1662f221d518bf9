"""Between the heads, the store and the cloud: what came in, for whom, and who is here.

Knows no protocol. It is called, never polled, and awaits no socket. Nothing is acknowledged before the store has said
that the disk has it.

Entry points: `ingress.Ingress.accept` (device to cloud), `presence.Presence` (who is connected).
"""
