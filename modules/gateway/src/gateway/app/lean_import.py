"""Imports the SDK without what it drags in and never uses here."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Final

DETECTION: Final = ("chardet", "charset_normalizer")
"""What requests guesses the encoding of a text with, 3 MB resident. It does without, and takes UTF-8 then; the SDK
needs requests for uploads of files, and calls of the workload API for its tokens, all of them JSON."""

METADATA: Final = "importlib.metadata"
"""What urllib3 asks for the version of a package that HTTP/2 needs, which nobody speaks here: 0.5 MB resident, with the
readers of archives and tables that it brings along."""


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


def import_urllib3() -> None:
    """Import urllib3, and not yet what it would ask for a version; whoever asks has it then."""
    if METADATA in sys.modules:
        return
    sys.modules[METADATA] = _metadata_to_come()
    try:
        import urllib3  # noqa: F401, PLC0415 - that it is in sys.modules is what is wanted
    finally:
        del sys.modules[METADATA]


def _metadata_to_come() -> ModuleType:
    """Has the one function that urllib3 takes from there when it is imported."""

    def version(distribution: str) -> str:
        from importlib import metadata  # noqa: PLC0415 - by now it is asked for

        return metadata.version(distribution)

    module = ModuleType(METADATA)
    vars(module)["version"] = version
    return module
