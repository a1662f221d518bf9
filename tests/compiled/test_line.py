"""The compiled line is the same line: mangled bytes come out alike, and the tests of its sources pass on it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "build" / "compiled"
TESTS_OF_THE_LINE = (
    "tests/unit/edgewire/line",
    "tests/unit/edgewire/codec/mqtt",
    *(f"tests/unit/edgewire/iothub/test_{name}.py" for name in ("bag", "messages", "topics")),
    "tests/unit/edgewire/session/mqtt",
    *(f"tests/unit/edgewire/transport/test_{name}.py" for name in ("connection", "listener", "pump", "websocket")),
    "tests/unit/gateway/dispatch/test_ingress.py",
    *(f"tests/unit/gateway/head/test_{name}.py" for name in ("mqtt", "mqtt_down", "mqtt_twins", "publications")),
    "tests/unit/gateway/head/test_amqp_telemetry.py",
    *(f"tests/unit/gateway/routing/test_{name}.py" for name in ("body", "compile", "table")),
    "tests/unit/gateway/store",
    *(f"tests/conversation/test_{name}.py" for name in ("mqtt_connecting", "mqtt_living", "way_back")),
    "tests/faults",
)
"""Those of the compiled modules, and of who calls them."""
SEEDS = (1, 2)
COMPILE_S = 900  # a minute of a free core
PLAY_S = 250  # seconds of a free core
CASES = 300


@pytest.fixture(scope="module")
def compiled() -> dict[str, str]:
    """The environment in which Python finds the compiled line."""
    subprocess.run([sys.executable, ROOT / "tools" / "compile_line.py"], check=True, timeout=COMPILE_S)
    return {**os.environ, "PYTHONPATH": f"{COMPILED}{os.pathsep}{ROOT / 'tests'}"}


def play(program: str, seed: int, environment: dict[str, str]) -> tuple[str, str]:
    """What a program of this folder prints for a seed, and the kind of file that it runs from."""
    command = [sys.executable, str(Path(__file__).with_name(program)), str(seed), str(CASES)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=PLAY_S)
    return done.stdout, done.stderr.strip()


@pytest.mark.timeout(COMPILE_S + 200)
@pytest.mark.parametrize("program", ["room.py", "behaviour.py"])
@pytest.mark.parametrize("seed", SEEDS)
def test_vectors_and_mangled_bytes_come_out_alike_plain_and_compiled(
    program: str, seed: int, compiled: dict[str, str]
) -> None:
    plain, suffix = play(program, seed, {**os.environ, "PYTHONPATH": str(ROOT / "tests")})
    assert suffix == ".py"
    assert plain.count("\n") > CASES
    assert play(program, seed, compiled) == (plain, ".so")


@pytest.mark.timeout(900)
def test_the_tests_of_the_sources_pass_on_what_was_compiled_from_them(compiled: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not plain", *TESTS_OF_THE_LINE]
    done = subprocess.run(command, cwd=ROOT, env=compiled, check=False, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, done.stdout[-4_000:]
