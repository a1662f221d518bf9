"""The version of all we ship: the file VERSION, and the places that must say the same.

`make release` writes them; tests/project/test_release.py checks that they agree. Firmware of boards has versions of
its own: it is signed and rolled out apart from the gateway (docs/boards.md).
"""

import re
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
FILE: Final = "VERSION"
NUMBERS: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")


class Place(NamedTuple):
    """A file, and the one line in it that says the version."""

    file: str
    line: re.Pattern[str]


_PROJECT: Final = re.compile(r'^(version = ")([^"]+)(")$', re.MULTILINE)
_PACKAGE: Final = re.compile(r'^(__version__ = ")([^"]+)(")$', re.MULTILINE)
_JSON: Final = re.compile(r'^( *"version": ")([^"]+)(",?)$', re.MULTILINE)
_IMAGE: Final = re.compile(r"^(ARG VERSION=)(\S+)()$", re.MULTILINE)
PLACES: Final = (
    Place("modules/gateway/src/gateway/__init__.py", _PACKAGE),
    Place("modules/gateway/pyproject.toml", _PROJECT),
    Place("standin/pyproject.toml", _PROJECT),
    Place("certs/pyproject.toml", _PROJECT),
    Place("modules/gateway/module.json", _JSON),
    *(Place(f"deployment.{kind}template.json", _JSON) for kind in ("", "debug.", "layered.")),
    *(
        Place(f"modules/gateway/Dockerfile.{platform}{kind}", _IMAGE)
        for platform in ("amd64", "arm64v8", "arm32v7")
        for kind in ("", ".debug")
    ),
)


def read_version(root: Path = ROOT) -> str:
    """What the file VERSION says."""
    return (root / FILE).read_text().strip()


def said(place: Place, root: Path = ROOT) -> str:
    """What one place says. Raises ValueError if it does not say it once."""
    found = place.line.findall((root / place.file).read_text())
    if len(found) != 1:
        raise ValueError(f"{place.file} says its version {len(found)} times, not once")
    version: str = found[0][1]
    return version


def write_version(version: str, root: Path = ROOT) -> list[str]:
    """Write it into all places. Returns the files."""
    (root / FILE).write_text(f"{version}\n")
    for place in PLACES:
        said(place, root)
        path = root / place.file
        path.write_text(place.line.sub(rf"\g<1>{version}\g<3>", path.read_text()))
    return [FILE, *(place.file for place in PLACES)]


def order_of(version: str) -> tuple[int, ...]:
    """To compare versions by. Raises ValueError if it is not three numbers."""
    found = NUMBERS.fullmatch(version)
    if found is None:
        raise ValueError(f"'{version}' is not a version: write three numbers, as 1.4.0")
    return tuple(int(number) for number in found.groups())
