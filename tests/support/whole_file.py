"""Files that somebody follows while a test changes them."""

from pathlib import Path


def put(path: Path, content: bytes | str) -> None:
    """Put a new file in the place of this one, whole: whoever looks sees the old one or the new one.

    It is another file, too: written over within one tick of the clock, one of the same size would look the same.
    """
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content.encode() if isinstance(content, str) else content)
    beside.replace(path)
