"""Compiles the straight line of a message with mypyc, from the sources as they are: `make compiled`.

The result is a copy of the packages in build/compiled, with an extension module beside each source of the line. Put
that folder first on PYTHONPATH (or copy it into an image) and the gateway runs compiled; without it, or where no C
compiler is at hand, the same sources run as they are. docs/decisions/ says why these modules and why mypyc.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from sysconfig import get_path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ROOT / "modules" / "gateway" / "src"
OUT: Final = ROOT / "build" / "compiled"

ROOM: Final = tuple(
    f"edgewire.line.{name}"
    for name in ("acknowledgements", "bodies", "envelopes", "escapes", "names", "packets", "records")
)
"""The hot part: what is done with a message's bytes. All modules of the room, see its `__init__`."""

CALLERS: Final = (
    "edgewire.codec.mqtt.frames",
    "edgewire.codec.mqtt.v3",
    "edgewire.iothub.bag",
    "edgewire.iothub.messages",
    "edgewire.iothub.topics",
    "edgewire.session.mqtt.inflight",
    "edgewire.session.mqtt.server",
    "edgewire.transport.pump",
    "gateway.head.mqtt",
    "gateway.head.publications",
    "gateway.dispatch.ingress",
    "gateway.routing.body",
    "gateway.routing.table",
    "gateway.store.store",
)
"""What a message passes besides, from the socket to the disk and back to its PUBACK: most of the time is in between."""

LINE: Final = ROOM + CALLERS
"""One group, so that calls among them are calls of C functions."""

# `make check` is strict about types. Here a package may be missing that the platform has no wheel of.
BUILD: Final = """
import sys
from mypyc.build import mypycify
from setuptools import setup

setup(
    name="line",
    packages=[],
    ext_modules=mypycify(["--ignore-missing-imports", *sys.argv[1:]], opt_level="3"),
    script_args=["--quiet", "build_ext", "--inplace"],
)
"""


def source_of(module: str) -> str:
    """The file of a module, from the folder of the packages."""
    return module.replace(".", "/") + ".py"


def is_fresh() -> bool:
    """Whether what is there was compiled from the sources as they are now."""
    return all(
        (built := OUT / path.relative_to(PACKAGES)).exists() and built.read_bytes() == path.read_bytes()
        for path in PACKAGES.rglob("*.py")
    ) and all(any(OUT.glob(source_of(module).removesuffix(".py") + ".*.so")) for module in LINE)


def compile_line() -> int:
    """Copy the packages and compile the line. Returns the compiler's exit code."""
    if shutil.which(os.environ.get("CC", "cc")) is None or not (Path(get_path("include")) / "Python.h").exists():
        print(
            "compiled: no C compiler, or no Python.h: install gcc, libc6-dev and python3-dev, ", end="", file=sys.stderr
        )
        print("or run the sources as they are", file=sys.stderr)
        return 1
    shutil.rmtree(OUT, ignore_errors=True)
    shutil.copytree(PACKAGES, OUT, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    command = [sys.executable, "-c", BUILD, *map(source_of, LINE)]
    done = subprocess.run(command, cwd=OUT, check=False, capture_output=True, text=True)
    shutil.rmtree(OUT / "build", ignore_errors=True)
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
    return done.returncode


def main() -> int:
    """Compile, unless what is there is fresh. Returns the exit code."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    if is_fresh():
        return 0
    print(f"compiled: {len(LINE)} modules into {OUT.relative_to(ROOT)} (about half a minute)", flush=True)
    return compile_line()


if __name__ == "__main__":
    sys.exit(main())
