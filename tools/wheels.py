"""Which files of the lock each platform installs: wheels, but for a short list that is compiled, with reasons.

`make lock` writes what it finds to modules/gateway/wheels.json: the lock's hashes name all files of a version, so the
answer lasts as long as the lock, and tests need no index to check it. `--fetch PLATFORM` puts the files of a platform
into build/image/wheels, from which an image is built without an index.
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from packaging.markers import Marker

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "modules" / "gateway"
LOCKS: Final = ("requirements.lock", "requirements-build.lock", "requirements-debug.lock")
"""What runs in the image, what its build stage has besides, and what the debug images have besides."""
FILE: Final = FOLDER / "wheels.json"
WHEELHOUSE: Final = ROOT / "build" / "image" / "wheels"
MACHINES: Final = {"amd64": "x86_64", "arm64v8": "aarch64", "arm32v7": "armv7l"}
"""The platforms, and what Python calls their machines."""
GLIBC: Final = 36
"""Of Debian 12: 2.36. A wheel for an older one does."""
COMPILED: Final[Mapping[str, Mapping[str, str]]] = {
    "paho-mqtt": dict.fromkeys(
        MACHINES, "1.6.1, which azure-iot-device pins, is on the index as source only; nothing in it is compiled"
    ),
    "cffi": {
        "arm32v7": "no wheel for 32-bit ARM; cryptography needs it; gcc and libffi's headers are in the build stage"
    },
    "librt": {
        "arm32v7": "no wheel for 32-bit ARM; the compiler of types needs it, and it stays behind in the build stage"
    },
}
"""What is built from source, on which platform and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """A line of a lock: one version, and the hashes of all its files."""

    name: str
    version: str
    marker: str
    hashes: frozenset[str]

    def is_for(self, machine: str) -> bool:
        """Whether the image on this machine needs it."""
        environment = {
            "platform_machine": machine,
            "sys_platform": "linux",
            "python_full_version": "3.11.2",
            "python_version": "3.11",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }
        return not self.marker or Marker(self.marker).evaluate(environment)

    def line(self) -> str:
        """As pip reads it, for the machine it was chosen for."""
        return " ".join((f"{self.name}=={self.version}", *(f"--hash=sha256:{each}" for each in sorted(self.hashes))))


def read_lock(text: str) -> Iterator[Pinned]:
    """The lines of a lock of `make lock`."""
    for line in text.replace("\\\n", " ").splitlines():
        if found := re.match(r"([a-z0-9-]+)==(\S+)(?: ; (.*?))?\s+--hash", line):
            hashes = frozenset(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
            yield Pinned(name=found[1], version=found[2], marker=found[3] or "", hashes=hashes)


def pinned(platform: str) -> dict[str, Pinned]:
    """All that an image of this platform is made with, by name."""
    lines = [each for name in LOCKS for each in read_lock((FOLDER / name).read_text())]
    return {each.name: each for each in lines if each.is_for(MACHINES[platform])}


def tags_of(machine: str) -> list[str]:
    """The platform tags of wheels that run on Debian 12 on this machine."""
    old = {"x86_64": ["manylinux2014", "manylinux2010", "manylinux1"]}.get(machine, ["manylinux2014"])
    return [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 4, -1)] + [f"{name}_{machine}" for name in old]


def pip_for(platform: str, *arguments: str | Path) -> Sequence[str | Path]:
    """A call of pip that looks with the eyes of this platform."""
    tags = [word for tag in tags_of(MACHINES[platform]) for word in ("--platform", tag)]
    python = ["--implementation", "cp", "--python-version", "3.11", *tags]
    common = ["--quiet", "--disable-pip-version-check", "--no-deps"]
    return [sys.executable, "-m", "pip", *arguments, *common, *python]


def found_wheels(platform: str) -> dict[str, dict[str, str]]:
    """The wheel that pip chooses for each requirement that is not compiled. Raises CalledProcessError without one."""
    wanted = [each for each in pinned(platform).values() if platform not in COMPILED.get(each.name, {})]
    with TemporaryDirectory() as folder:
        lines, report = Path(folder) / "lines", Path(folder) / "report"
        lines.write_text("\n".join(each.line() for each in wanted))
        where = ("--dry-run", "--ignore-installed", "--target", folder, "--report", report)
        command = ("install", "--only-binary", ":all:", "--require-hashes", "--requirement", lines, *where)
        subprocess.run(pip_for(platform, *command), check=True)
        return {_name_of(each): _file_of(each) for each in json.loads(report.read_text())["install"]}


def _name_of(installed: Mapping[str, Any]) -> str:
    return re.sub(r"[-_.]+", "-", installed["metadata"]["name"]).lower()


def _file_of(installed: Mapping[str, Any]) -> dict[str, str]:
    download = installed["download_info"]
    return {"file": download["url"].rpartition("/")[2], "sha256": download["archive_info"]["hashes"]["sha256"]}


def write() -> None:
    """Ask the index, and write what it says."""
    document = {platform: dict(sorted(found_wheels(platform).items())) for platform in MACHINES}
    FILE.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {FILE.relative_to(ROOT)}")


def stamp_of(platform: str) -> Path:
    """The file that says for which locks the wheels of a platform are there."""
    return WHEELHOUSE.parent / f"wheels-{platform}.ready"


def locks() -> str:
    """All locks, to see whether one has changed."""
    return "".join((FOLDER / name).read_text() for name in LOCKS)


def is_fetched(platform: str) -> bool:
    """Whether an image of this platform can be built without an index."""
    return stamp_of(platform).exists() and stamp_of(platform).read_text() == locks()


def download(chosen: Iterable[Pinned], command: Sequence[str | Path]) -> None:
    """Have pip fetch these into the folder that the Dockerfiles look into. Raises CalledProcessError."""
    with TemporaryDirectory() as folder:
        lines = Path(folder) / "lines"
        lines.write_text("\n".join(each.line() for each in chosen))
        where = ("--require-hashes", "--requirement", lines, "--dest", WHEELHOUSE)
        subprocess.run((*command, *where), check=True)


def fetch(platform: str) -> None:
    """Fetch the wheels, and the sources of what is compiled."""
    WHEELHOUSE.mkdir(parents=True, exist_ok=True)
    print(f"wheels: fetching what the image for {platform} is made of (some seconds, once)", flush=True)
    every = pinned(platform).values()
    compiled = [each for each in every if platform in COMPILED.get(each.name, {})]
    download([each for each in every if each not in compiled], pip_for(platform, "download", "--only-binary", ":all:"))
    own = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    download(compiled, [*own, "--no-build-isolation", "--no-binary", ":all:"])
    stamp_of(platform).write_text(locks())


def main() -> None:
    """Write the table, or fetch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fetch", metavar="PLATFORM", choices=tuple(MACHINES), help="amd64, arm64v8 or arm32v7")
    arguments = parser.parse_args()
    if arguments.fetch is None:
        write()
    elif not is_fetched(arguments.fetch):
        fetch(arguments.fetch)


if __name__ == "__main__":
    main()
