"""All tests, as several runs side by side: `make test`. Most of them wait for others, so one run leaves a core idle.

What a run printed is shown when it ends. Exit code: 0 if all pass, else that of one that does not.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
TESTS: Final = ROOT / "tests"
RUNS: Final = (
    ("system", "security", "soak"),
    ("peers",),
    ("firmware", "compiled", "crash", "faults", "hostile"),
    ("images",),
)
"""Folders that run together, about as long as each other; whatever is not named is one run more. tests/peers stays
whole: its run is judged as one; tests/images is in a network of its own."""
NEED_ROOT: Final = frozenset({"images"})
"""What makes network namespaces (user_namespaces(7)); an ordinary user is asked for sudo, as by `make peers`."""
LOOK_S: Final = 0.2


class Run(NamedTuple):
    """One run, and where it prints."""

    names: Sequence[str]
    process: "subprocess.Popen[str]"
    printed: IO[str]


def runs() -> list[list[str]]:
    """The folders of tests of each run."""
    found = sorted(path.name for path in TESTS.iterdir() if any(path.rglob("test_*.py")))
    named = [name for names in RUNS for name in names]
    return [*(list(names) for names in RUNS), [name for name in found if name not in named]]


def as_whom(names: Sequence[str]) -> list[str]:
    """What stands before the command of a run. What root leaves behind must not be in an ordinary user's way."""
    if os.geteuid() == 0 or not NEED_ROOT & set(names):
        return []
    return ["sudo", "--preserve-env=CI,PATH", "PYTHONDONTWRITEBYTECODE=1"]


def start(names: Sequence[str]) -> Run:
    """Begin a run of these. Two runs must not write one cache."""
    printed = TemporaryFile("w+")  # noqa: SIM115 - closed with the run
    cache = f"cache_dir=build/pytest-{names[0]}"
    process = subprocess.Popen(
        [*as_whom(names), sys.executable, "-m", "pytest", "-q", "-o", cache, *(f"tests/{name}" for name in names)],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=printed,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return Run(names, process, printed)


def as_they_end(begun: Sequence[Run]) -> Iterator[Run]:
    """Each run when it has ended."""
    left = list(begun)
    while left:
        for run in [one for one in left if one.process.poll() is not None]:
            left.remove(run)
            yield run
        time.sleep(LOOK_S)


def main() -> int:
    """Run all of them. Returns the exit code."""
    begun = [start(names) for names in runs()]
    code = 0
    try:
        print(f"{len(begun)} runs side by side; each shows what it printed when it ends", flush=True)
        for run in as_they_end(begun):
            run.printed.seek(0)
            print(f"{', '.join(run.names)}:\n{run.printed.read()}", flush=True)
            run.printed.close()
            code = code or run.process.returncode
    finally:
        for run in begun:
            run.process.terminate()
    return code


if __name__ == "__main__":
    sys.exit(main())
