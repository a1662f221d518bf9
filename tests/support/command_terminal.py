"""A command of the gateway on the data folder that the environment names, called as its program calls it."""

import argparse
import json
from types import ModuleType
from typing import Any

import pytest


class Terminal:
    """Where a command is typed and what it says is read."""

    def __init__(self, command: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
        self._command = command
        self._capsys = capsys

    def says(self, *arguments: str, code: int = 0) -> tuple[str, str]:
        """What it says, and says aside; its exit code must be this."""
        name = self._command.__name__.rpartition(".")[2]
        top = argparse.ArgumentParser()
        self._command.add_parser(top.add_subparsers(dest="command"))
        assert self._command.run(top.parse_args([name, *arguments])) == code
        captured = self._capsys.readouterr()
        return captured.out, captured.err

    def tells(self, *arguments: str) -> Any:
        """What it says to programs."""
        return json.loads(self.says(*arguments, "--json")[0])
