"""What the hub refuses, by the codes that IoT Hub gives."""

from typing import Final

_CODES_OF_A_STATUS: Final = 1_000


class HubError(Exception):
    """A request that is refused: `code` is IoT Hub's own (404001), `what` a sentence for whoever asked."""

    def __init__(self, code: int, what: str) -> None:
        super().__init__(what)
        self.code = code
        self.what = what

    @property
    def status(self) -> int:
        """The status of an answer over HTTP."""
        return self.code // _CODES_OF_A_STATUS
