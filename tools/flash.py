"""`make flash`: an official MicroPython and our program onto a board at a serial port. docs/flash.md is the guide.

    python tools/flash.py --port /dev/ttyUSB0 [--image MICROPYTHON.bin --sha256 HEX]
        --key KEY.public.pem --bundle FILE.fw [--board nodemcu] [--config CONFIG.json]

With an image, the whole flash is erased and MicroPython written, if the file has the SHA-256 that you noted for
it; then, and without an image at once, device-firmware/tools/provision.py sets the board up. Nothing is fetched.
"""

import argparse
import hashlib
import hmac
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
ESPTOOL: Final = Path(sys.executable).parent / "esptool"
PROVISION: Final = ROOT / "device-firmware/tools/provision.py"
CHIPS: Final = {"nodemcu": ("esp8266", "0x0"), "esp32": ("esp32", "0x1000")}
"""What esptool calls the chip of a board, and where its MicroPython begins."""
BAUD: Final = "460800"


class FlashError(Exception):
    """What a person should change first."""


def check_image(image: Path, wanted: str) -> None:
    """Raise FlashError unless the file has this SHA-256."""
    try:
        found = hashlib.sha256(image.read_bytes()).hexdigest()
    except OSError as error:
        raise FlashError(f"{image}: {error.strerror}") from error
    if not hmac.compare_digest(found, wanted.strip().lower()):
        raise FlashError(f"{image} has the SHA-256 {found}, not the one given: do not flash it")


def commands(given: argparse.Namespace) -> list[list[str]]:
    """What is called, one after the other. Raises FlashError."""
    chip, offset = CHIPS[given.board]
    found = []
    if given.image:
        if not given.sha256:
            raise FlashError("an image needs its --sha256: docs/flash.md says where it comes from")
        check_image(given.image, given.sha256)
        esptool = [str(ESPTOOL), "--chip", chip, "--port", given.port]
        size = ["--flash-size", "detect"]
        found = [[*esptool, "erase-flash"], [*esptool, "--baud", BAUD, "write-flash", *size, offset, str(given.image)]]
    set_up = [sys.executable, str(PROVISION), "--board", given.board, "--port", given.port]
    set_up += ["--key", str(given.key), "--bundle", str(given.bundle)]
    return [*found, [*set_up, *(["--config", str(given.config)] if given.config else [])]]


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line, taken apart."""
    parser = argparse.ArgumentParser(prog="flash", description="MicroPython and our program onto a board.")
    parser.add_argument("--port", required=True, help="the board's serial port")
    parser.add_argument("--key", type=Path, required=True, help="public half of the release key, PEM")
    parser.add_argument("--bundle", type=Path, required=True, help="the first program, FILE.fw")
    parser.add_argument("--board", choices=CHIPS, default="nodemcu")
    parser.add_argument("--image", type=Path, help="an official MicroPython; the whole flash is erased first")
    parser.add_argument("--sha256", help="of the image, as you noted it")
    parser.add_argument("--config", type=Path, help="the set-up; else the board asks for it at its serial port")
    return parser.parse_args(words)


def main() -> int:
    """Do what the command line says. Returns the exit code."""
    try:
        for command in commands(arguments()):
            subprocess.run(command, check=True)
    except FlashError as error:
        print(f"flash: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(
            f"flash: {Path(error.cmd[0]).name} ended with {error.returncode}; the board is not set up", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
