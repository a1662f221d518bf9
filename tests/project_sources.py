"""The source files of the project, for the tests that check its habits."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / "modules/gateway/src", ROOT / "standin/src", ROOT / "certs/src"]


def source_files() -> Iterator[tuple[str, Path]]:
    for top in SOURCES:
        for path in sorted(top.rglob("*.py")):
            module = ".".join(path.relative_to(top).with_suffix("").parts)
            yield module.removesuffix(".__init__"), path
