"""What the provisioning service refuses, by the codes and in the form of the cloud's (iothub_wire.md §5.4)."""

import uuid
from typing import Final

from standin.documents import JsonObject

BAD_REQUEST: Final = 400004
UNAUTHORIZED: Final = 401002
NOT_FOUND: Final = 404001
METHOD_NOT_ALLOWED: Final = 405001
THROTTLED: Final = 429001
HUB_FAILED: Final = 500001
"""The hub that a device is assigned to did not take it."""
SERVER_BUSY: Final = 503001
_CODES_OF_A_STATUS: Final = 1_000


class DpsError(Exception):
    """A refusal: `code` is the service's own, `what` a sentence for the peer, which never holds a secret.

    `reason` is for the counters of the stand-in; `retry_after_s` tells the peer when to ask again.
    """

    def __init__(self, code: int, what: str, *, reason: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(what)
        self.code = code
        self.what = what
        self.reason = reason
        self.retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self.code // _CODES_OF_A_STATUS

    def to_json(self, at: str) -> JsonObject:
        """The body of the answer; `at` is the time, as text."""
        return {
            "errorCode": self.code,
            "trackingId": str(uuid.uuid4()),
            "message": self.what,
            "info": {},
            "timestampUtc": at,
        }
