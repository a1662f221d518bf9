"""The compiled line is the same line: mangled bytes come out alike, and the tests of its sources pass on it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "build" / "compiled"
TESTS_OF_THE_LINE = (
    "tests/unit/edgewire/codec/mqtt",
    "tests/unit/edgewire/session/mqtt",
    "tests/unit/edgewire/transport",
    "tests/unit/gateway/dispatch",
    "tests/unit/gateway/head",
    "tests/unit/gateway/routing/test_body.py",
    "tests/unit/gateway/routing/test_table.py",
    "tests/unit/gateway/routing/test_compile.py",
    "tests/unit/gateway/store",
    "tests/conversation",
    "tests/faults",
)
SEEDS = (1, 2)
CASES = 300


@pytest.fixture(scope="module")
def compiled() -> dict[str, str]:
    """The environment in which Python finds the compiled line."""
    subprocess.run([sys.executable, ROOT / "tools" / "compile_line.py"], check=True, timeout=400)
    return {**os.environ, "PYTHONPATH": f"{COMPILED}{os.pathsep}{ROOT / 'tests'}"}


def play(seed: int, environment: dict[str, str]) -> tuple[str, str]:
    """What the line does with the cases of a seed, and the kind of file that it runs from."""
    command = [sys.executable, str(Path(__file__).with_name("behaviour.py")), str(seed), str(CASES)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=100)
    return done.stdout, done.stderr.strip()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_mangled_bytes_come_out_alike_plain_and_compiled(seed: int, compiled: dict[str, str]) -> None:
    plain, suffix = play(seed, {**os.environ, "PYTHONPATH": str(ROOT / "tests")})
    assert suffix == ".py"
    assert plain.count("\n") > CASES
    assert play(seed, compiled) == (plain, ".so")


@pytest.mark.timeout(900)
def test_the_tests_of_the_sources_pass_on_what_was_compiled_from_them(compiled: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not plain", *TESTS_OF_THE_LINE]
    done = subprocess.run(command, cwd=ROOT, env=compiled, check=False, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout[-4_000:]
