"""Imports the SDK without what it drags in and never uses here."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

DETECTION: Final = ("chardet", "charset_normalizer")
"""What requests guesses the encoding of a text with, 3 MB resident. It does without, and takes UTF-8 then; the SDK
needs requests for uploads of files, and calls of the workload API for its tokens, all of them JSON."""


@contextmanager
def without_detection() -> Iterator[None]:
    """While this lasts, requests is imported without the detection of encodings; afterwards it can be had again."""
    blocked = [name for name in DETECTION if name not in sys.modules]
    # None in its place makes an import raise ModuleNotFoundError (importlib, "The import system" §5.3.1).
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type] # typed without that None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unable to find acceptable character detection dependency")
            yield
    finally:
        for name in blocked:
            del sys.modules[name]
