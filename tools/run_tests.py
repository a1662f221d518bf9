"""All tests, as two runs side by side: `make test`. Most of them wait for others, so one run leaves a core idle.

The first shows its lines as they come, the second behind it. Exit code: 0 if both pass, else that of one that does not.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TESTS: Final = ROOT / "tests"
APART: Final = ("compiled", "firmware", "peers")
"""What runs beside all the rest, and takes about as long. tests/peers stays whole: its run is judged as one."""


def folders() -> tuple[list[str], list[str]]:
    """The folders of tests of each run."""
    found = sorted(path.name for path in TESTS.iterdir() if any(path.rglob("test_*.py")))
    rest = [name for name in found if name not in APART]
    return [f"tests/{name}" for name in rest], [f"tests/{name}" for name in APART]


def command(names: list[str], cache: str) -> list[str]:
    """A run of these. Two runs must not write one cache."""
    return [sys.executable, "-m", "pytest", "-q", "-o", f"cache_dir=build/{cache}", *names]


def main() -> int:
    """Run both. Returns the exit code."""
    shown, other = folders()
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with tempfile.TemporaryFile("w+") as kept:
        beside = subprocess.Popen(
            command(other, "pytest-apart"), cwd=ROOT, env=environment, stdout=kept, stderr=subprocess.STDOUT
        )
        try:
            print(f"{' '.join(shown)}, and beside it {' '.join(other)}", flush=True)
            code = subprocess.run(command(shown, "pytest"), cwd=ROOT, env=environment, check=False).returncode
            print(f"{' '.join(other)}:", flush=True)
            code = beside.wait() or code
        finally:
            beside.terminate()
        kept.seek(0)
        sys.stdout.write(kept.read())
    return code


if __name__ == "__main__":
    sys.exit(main())
