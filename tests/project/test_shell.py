"""Shell scripts are read by ShellCheck."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from project_sources import ROOT

SHELLCHECK = shutil.which("shellcheck", path=str(Path(sys.executable).parent)) or "shellcheck-is-not-installed"
FOLDERS = (".ci", "certs", "tools", "device-firmware/tools", "modules/gateway")


def is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(64).partition(b"\n")[0]
    return head.startswith(b"#!") and head.rpartition(b"/")[2].split()[-1] in (b"sh", b"bash", b"dash")


SCRIPTS = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and not {"__pycache__", "node_modules"} & set(path.parts) and is_shell(path)
]


def test_there_are_scripts() -> None:
    assert {"run", "setup", "certGen.sh"} <= {path.name for path in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_has_nothing_that_shellcheck_warns_of(path: Path) -> None:
    done = subprocess.run([SHELLCHECK, "--severity=warning", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
