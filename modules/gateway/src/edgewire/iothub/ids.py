"""Which texts are ids of devices and modules."""

import re
from typing import Final

from edgewire.iothub.limits import MAX_ID_CHARS

ID_CHARACTERS: Final = "ASCII letters, digits and - . % _ * ? ! ( ) , : = @ $ '"
_ID: Final = re.compile(r"[A-Za-z0-9\-.%_*?!(),:=@$']+")


def is_id(text: str) -> bool:
    """Whether `text` can be the id of a device or module: its characters and its length, nothing else."""
    return len(text) <= MAX_ID_CHARS and _ID.fullmatch(text) is not None
