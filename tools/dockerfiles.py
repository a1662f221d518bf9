"""Writes the Dockerfiles of the other platforms, and the debug ones, from modules/gateway/Dockerfile.amd64.

The tools of IoT Edge take one Dockerfile a platform and give the builder no `--platform`: the base image decides. So
the text is the same in all of them but for the names of the bases. A debug image is plain Python behind debugpy.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[1] / "modules" / "gateway"
FIRST: Final = "amd64"
PLATFORMS: Final = (FIRST, "arm64v8", "arm32v7")
"""As IoT Edge's tools and the registries of base images name them."""
DEBUG_PORT: Final = 5678
WRITTEN: Final = "# Written by tools/dockerfiles.py from Dockerfile.amd64: edit that one, then `make docs`.\n\n"
DEBUG_INSTALL: Final = """\
    && tools/bin/pip --python /opt/gateway/bin/python install --quiet --no-deps --no-compile --require-hashes \\
        --requirement wheelhouse/requirements-debug.lock \\
"""
DEBUG_ENTRYPOINT: Final = f"""\
# An editor attaches to this port; until one does, the gateway runs as it always does.
ENTRYPOINT ["python", "-Xfrozen_modules=off", "-m", "debugpy", "--listen", "0.0.0.0:{DEBUG_PORT}", \\
    "/opt/gateway/bin/gateway"]"""
DEBUG: Final = (
    ("ARG COMPILED=yes", "ARG COMPILED=no"),
    ("own/*.whl \\\n", f"own/*.whl \\\n{DEBUG_INSTALL}"),
    ("EXPOSE 8883 5671 8443\n", f"EXPOSE 8883 5671 8443 {DEBUG_PORT}\n"),
    (
        'ENTRYPOINT ["gateway"]',
        DEBUG_ENTRYPOINT,
    ),
)
"""What a debug image has in place of what; each stands in the text once."""


def replaced(text: str, old: str, new: str) -> str:
    """The text with `new` for `old`, which must stand in it once."""
    if text.count(old) != 1:
        raise ValueError(f"Dockerfile.{FIRST} holds {text.count(old)} times, not once: {old!r}")
    return text.replace(old, new)


def dockerfile(first: str, platform: str, *, debug: bool) -> str:
    """The Dockerfile of a platform, from that of the first one."""
    head, _, rest = first.partition("\n\n")
    assert head.startswith("#"), "the first paragraph is the comment that stays with the first file"
    text = rest.replace(f"/{FIRST}/python:", f"/{platform}/python:")
    for old, new in DEBUG if debug else ():
        text = replaced(text, old, new)
    return WRITTEN + text


def written() -> Mapping[Path, str]:
    """What each of the written files must hold."""
    first = (FOLDER / f"Dockerfile.{FIRST}").read_text()
    plain = {FOLDER / f"Dockerfile.{name}": dockerfile(first, name, debug=False) for name in PLATFORMS[1:]}
    return plain | {FOLDER / f"Dockerfile.{name}.debug": dockerfile(first, name, debug=True) for name in PLATFORMS}


def main() -> int:
    """Write them, or with --check tell which are stale. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if one is not what it should be")
    arguments = parser.parse_args()
    stale = [path for path, text in written().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if arguments.check:
            print(f"dockerfiles: {path.name} is stale: `make docs` writes it again", file=sys.stderr)
        else:
            path.write_text(written()[path])
            print(f"wrote {path.name}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
