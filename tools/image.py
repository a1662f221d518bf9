"""Builds the gateway's image with docker or podman, whichever is here: `make image`, `make image-arm`.

The image is named as module.json names it: `edge-gateway:VERSION-PLATFORM`. IMAGE_ENGINE names another program that
takes podman's or docker's arguments.
"""

import argparse
import json
import os
import platform as machine
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import wheels

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "modules" / "gateway"
OF_MACHINE: Final = {"x86_64": "amd64", "aarch64": "arm64v8", "armv7l": "arm32v7"}
DOCKER_PLATFORM: Final = {"amd64": "linux/amd64", "arm64v8": "linux/arm64/v8", "arm32v7": "linux/arm/v7"}
MAX_COMPRESSED_BYTES: Final = 110_000_000
"""Design §5: what a Pi on a slow line has to fetch."""
ENGINES: Final = ("docker", "podman")
INSTALL: Final = (
    "image: neither docker nor podman is here. Install one: `sudo apt-get install docker.io` or "
    "`sudo apt-get install podman` on Debian and Raspberry Pi OS; Docker Desktop elsewhere"
)
MEND: Final = (
    "image: `{}` fails: start docker and install its buildx (docker-buildx-plugin of Docker's, docker-buildx of "
    "Debian 13), or `sudo apt-get install podman`"
)
NEEDED: Final[Mapping[str, Sequence[str]]] = {"docker": ("docker info", "docker buildx version")}
"""What must succeed where an engine can build: docker's program may be there without its daemon, or without buildx."""


class ImageError(Exception):
    """The image cannot be built; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which image."""

    platform: str
    debug: bool = False
    plain: bool = False

    @property
    def dockerfile(self) -> Path:
        """The file it is built from."""
        return FOLDER / f"Dockerfile.{self.platform}{'.debug' if self.debug else ''}"

    @property
    def name(self) -> str:
        """Its name and tag, without a registry."""
        kind = ".debug" if self.debug else "-plain" if self.plain else ""
        return f"edge-gateway:{version()}-{self.platform}{kind}"


def version() -> str:
    """The version of all we ship, where it stands for the image."""
    tag = json.loads((FOLDER / "module.json").read_text())["image"]["tag"]
    return str(tag["version"])


def engine() -> str:
    """The program that builds. Raises ImageError."""
    named = os.environ.get("IMAGE_ENGINE")
    if named and not shutil.which(named):
        raise ImageError(f"image: IMAGE_ENGINE is '{named}', and there is no such program")
    failing = {name: fails(name) for name in ((named,) if named else ENGINES) if shutil.which(name)}
    for name, command in failing.items():
        if not command:
            return name
    raise ImageError(MEND.format(*failing.values()) if failing else INSTALL)


def fails(program: str) -> str:
    """The command that shows that an engine cannot build; nothing if it can."""
    for command in NEEDED.get(Path(program).name, ()):
        words = [program, *command.split()[1:]]
        if subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
            return command
    return ""


def is_podman(program: str) -> bool:
    """Whether it takes podman's own options."""
    return Path(program).name.startswith("podman")


def git(*words: str) -> str:
    """What git says; nothing where there is none, as in an unpacked archive."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def labels() -> dict[str, str]:
    """The build arguments that become labels. The time is that of the commit: one commit, one image."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct") or "0"
    changed = "-changed" if git("status", "--porcelain", "--", "modules/gateway") else ""
    return {
        "VERSION": version(),
        "REVISION": (git("rev-parse", "HEAD") or "unknown") + changed,
        "CREATED": datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def build_arguments(wish: Wish) -> dict[str, str]:
    """What the Dockerfile is told."""
    offline = {"PIP_NO_INDEX": "1"} if wheels.is_fetched(wish.platform) else {}
    index = {"PIP_INDEX_URL": os.environ["PIP_INDEX_URL"]} if os.environ.get("PIP_INDEX_URL") and not offline else {}
    bases = {name: os.environ[f"IMAGE_{name}"] for name in ("BASE", "BUILD_BASE") if os.environ.get(f"IMAGE_{name}")}
    return labels() | bases | offline | index | ({"COMPILED": "no"} if wish.plain else {})


def authorities() -> Path | None:
    """The certificates that this machine trusts, where pip was told of them: an index inside a company has its own."""
    named = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    return Path(named) if named and Path(named).exists() else None


def build_command(program: str, wish: Wish) -> list[str]:
    """The call that builds."""
    command = [program, "build", "--file", str(wish.dockerfile), "--tag", wish.name]
    for name, value in build_arguments(wish).items():
        command += ["--build-arg", f"{name}={value}"]
    if is_podman(program):
        # Docker's format keeps HEALTHCHECK; the rest needs no network and no privilege of the machine's.
        command += ["--format", "docker", "--isolation", "chroot", "--network", "host", "--pull=missing"]
        if (bundle := authorities()) is not None and not wheels.is_fetched(wish.platform):
            command += ["--volume", f"{bundle}:{bundle}:ro", "--build-arg", f"PIP_CERT={bundle}"]
    else:
        command += ["--platform", DOCKER_PLATFORM[wish.platform]]
    return [*command, str(ROOT)]


def build(program: str, wish: Wish) -> float:
    """Build it. Returns the seconds it took. Raises ImageError."""
    began_at = time.monotonic()
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    done = subprocess.run(build_command(program, wish), cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise ImageError(f"image: {wish.name} was not built; the lines above say why")
    return time.monotonic() - began_at


def compressed_bytes(program: str, name: str) -> int:
    """How much of it a registry keeps and a device fetches."""
    with subprocess.Popen([program, "save", name], stdout=subprocess.PIPE) as saving:
        gzip = subprocess.run(["gzip", "-c"], stdin=saving.stdout, capture_output=True, check=True)
    if saving.returncode:
        raise ImageError(f"image: {name} cannot be saved")
    return len(gzip.stdout)


def make(program: str, wish: Wish) -> None:
    """Build one, and say what came of it. Raises ImageError."""
    print(f"image: building {wish.name} with {program}", flush=True)
    took_s = build(program, wish)
    print(f"image: {wish.name} is ready after {took_s:.0f} s", flush=True)
    if not wish.debug:
        check_size(program, wish)


def check_size(program: str, wish: Wish) -> None:
    """Say its size. Raises ImageError if it is too large."""
    size = compressed_bytes(program, wish.name)
    print(f"image: {size / 1e6:.0f} MB compressed", flush=True)
    if size > MAX_COMPRESSED_BYTES:
        raise ImageError(f"image: that is more than the {MAX_COMPRESSED_BYTES / 1e6:.0f} MB of docs/images.md")


def start(program: str, wish: Wish) -> None:
    """Start the gateway in a container of the image, alone, and print what it is. Raises ImageError."""
    command = [program, "run", "--rm", "--interactive", "--network=none", "--entrypoint", "python", wish.name, "-"]
    with (ROOT / "tools" / "image_start.py").open("rb") as script:
        done = subprocess.run(command, stdin=script, check=False)
    if done.returncode:
        raise ImageError(f"image: the gateway does not start in {wish.name}")


def make_arm(program: str) -> None:
    """Build both platforms of ARM and start what was built. Raises ImageError."""
    if machine.machine() == "x86_64" and not Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists():
        raise ImageError(
            "image: this machine runs no programs for ARM. On Debian: "
            "`sudo apt-get install qemu-user-static binfmt-support`; "
            "in a container, mount binfmt_misc first: docs/images.md"
        )
    for platform in ("arm64v8", "arm32v7"):
        make(program, Wish(platform=platform))
        start(program, Wish(platform=platform))


def main(words: Sequence[str] | None = None) -> int:
    """Build what is asked for. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--platform", choices=(*DOCKER_PLATFORM, "arm"), default=OF_MACHINE.get(machine.machine()))
    parser.add_argument("--debug", action="store_true", help="plain Python behind debugpy on port 5678")
    parser.add_argument("--plain", action="store_true", help="leave the straight line of a message uncompiled")
    parser.add_argument("--start", action="store_true", help="build nothing, start what was built and measure it")
    parser.add_argument("--name", action="store_true", help="print the name and build nothing")
    arguments = parser.parse_args(words)
    wish = Wish(platform=arguments.platform, debug=arguments.debug, plain=arguments.plain)
    try:
        if arguments.name:
            print(wish.name)
        elif arguments.start:
            start(engine(), wish)
        elif arguments.platform == "arm":
            make_arm(engine())
        else:
            make(engine(), wish)
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
