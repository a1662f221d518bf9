"""All that a peer can grow or ask of an HTTP server, by name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What one connection may send, hold and ask for.

    max_target_chars: path and query of a request: two ids of 128 characters, each escaped, a lock token and a version.
    max_head_bytes: request line and header fields. A message has its properties there, with a token of up to 4 KiB.
    max_fields: header fields of one request: the most properties a message may have, and those of HTTP itself.
    max_body_bytes: a body once its chunks are joined: a batch of 256 KiB, in base64 (a third more), in JSON.
    max_framing_bytes: what chunks may cost beside the body, for each body: Node sends one for each write.
    max_early_bytes: what may wait behind a request that is being answered. Nobody we serve sends ahead.
    max_requests: after so many the connection is closed with the answer, so that new certificates and limits get at
        everybody; a device that polls each second comes back every few hours.
    idle_s: silence between requests. Devices that poll less often dial again.
    request_s: for the whole of a request from its first byte on; 256 KiB at 5 kB/s.
    """

    max_target_chars: int = 2_048
    max_head_bytes: int = 16_384
    max_fields: int = 288
    max_body_bytes: int = 393_216
    max_framing_bytes: int = 65_536
    max_early_bytes: int = 65_536
    max_requests: int = 10_000
    idle_s: float = 120.0
    request_s: float = 60.0
