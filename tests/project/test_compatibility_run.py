"""A run of tests/peers fails where docs/compatibility.md says anything else than it has seen."""

import os
from pathlib import Path

import pytest

from project_sources import ROOT
from support import amqp_peers, compatibility, gateway_fixtures
from support.compatibility import Cell, Table, cells_of, page_of

pytest_plugins = ["pytester"]
__all__ = ["gateway_fixtures"]  # imported once here, not anew by each run

WITHOUT = [word for plugin in ("asyncio", "cacheprovider", "hypothesispytest") for word in ("-p", f"no:{plugin}")]
"""Plugins that these runs have no use for; Hypothesis would be imported anew by each."""
CONFTEST = ROOT / "tests/peers/conftest.py"
TELEMETRY = Cell(Table.GATEWAY, "a client", "telemetry")
METHOD = Cell(Table.GATEWAY, "a client", "method")
TELEMETRY_IS_SEEN = """
    from support.compatibility import Table, works

    @works(Table.GATEWAY, "a client", "telemetry")
    def test_telemetry():
        pass
"""
METHOD_IS_SEEN = """
    from support.compatibility import Table

    def test_method(seen):
        seen(Table.GATEWAY, "a client", "method")
"""
IT_FAILS = """
    from support.compatibility import Table, works

    @works(Table.GATEWAY, "a client", "method")
    def test_method():
        assert False
"""
IT_IS_SKIPPED = """
    import pytest

    @pytest.mark.skip
    def test_method():
        pass
"""


class Folder:
    """A folder of tests with the hooks of tests/peers, and a page of its own."""

    def __init__(self, pytester: pytest.Pytester, page: Path) -> None:
        self.pytester = pytester
        self.page = page

    def run(self, *files: str, more: tuple[str, ...] = ()) -> tuple[int, str]:
        """Run these files. Returns the exit code, and what the run says of the page."""
        for number, text in enumerate(files):
            self.pytester.makepyfile(**{f"test_{number}": text})
        done = self.pytester.runpytest_inprocess(*WITHOUT, *more)
        return int(done.ret), "\n".join(line for line in done.errlines if "compatibility" in line)

    def says(self, *cells: Cell) -> None:
        self.page.write_text(page_of(cells), encoding="utf-8")

    def said(self) -> set[Cell]:
        return cells_of(self.page.read_text(encoding="utf-8"))


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Folder:
    page = tmp_path / "page.md"
    monkeypatch.setattr(compatibility, "PAGE", page)
    monkeypatch.delenv(compatibility.WRITE_VARIABLE, raising=False)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(amqp_peers, "UAMQP_RUNS_HERE", True)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    pytester.makeconftest(CONFTEST.read_text(encoding="utf-8"))
    return Folder(pytester, page)


def test_a_page_that_says_what_a_run_sees_is_passed_in_silence(folder: Folder) -> None:
    folder.says(TELEMETRY, METHOD)
    assert folder.run(TELEMETRY_IS_SEEN, METHOD_IS_SEEN) == (0, "")


def test_a_cell_whose_test_is_gone_fails_the_run(folder: Folder) -> None:
    folder.says(TELEMETRY, METHOD)
    code, said = folder.run(TELEMETRY_IS_SEEN)
    assert code == 1
    assert "a client: method is on the page, and was not seen" in said


def test_a_page_of_which_nothing_is_seen_any_more_fails_the_run(folder: Folder) -> None:
    folder.says(TELEMETRY)
    assert folder.run("def test_nothing(): pass")[0] == 1


def test_a_cell_that_is_not_on_the_page_fails_the_run(folder: Folder) -> None:
    folder.says(TELEMETRY)
    code, said = folder.run(TELEMETRY_IS_SEEN, METHOD_IS_SEEN)
    assert code == 1
    assert "a client: method was seen, and the page does not say it" in said


@pytest.mark.parametrize("more", [("-k", "telemetry"), ("test_0.py",), ("test_0.py::test_telemetry", "test_1.py")])
def test_a_part_of_a_run_does_not_miss_the_rest(folder: Folder, more: tuple[str, ...]) -> None:
    folder.says(TELEMETRY, METHOD, Cell(Table.SERVICE, "another", "query"))
    assert folder.run(TELEMETRY_IS_SEEN, METHOD_IS_SEEN, more=more) == (0, "")


def test_where_a_test_is_skipped_the_rest_is_not_missed(folder: Folder) -> None:
    folder.says(TELEMETRY, METHOD)
    assert folder.run(TELEMETRY_IS_SEEN, IT_IS_SKIPPED) == (0, "")


def test_where_the_ports_of_the_clients_need_a_privilege_the_rest_is_not_missed(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    folder.says(TELEMETRY, METHOD)
    assert folder.run(TELEMETRY_IS_SEEN) == (0, "")


def test_in_ci_neither_a_skip_nor_a_missing_privilege_excuses_a_cell(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    folder.says(TELEMETRY, METHOD)
    code, said = folder.run(TELEMETRY_IS_SEEN, IT_IS_SKIPPED)
    assert code == 1
    assert "a client: method is on the page, and was not seen" in said


def test_a_test_that_fails_says_nothing_of_the_page(folder: Folder) -> None:
    folder.says(TELEMETRY)
    assert folder.run(TELEMETRY_IS_SEEN, IT_FAILS) == (1, "")


def test_a_whole_run_writes_the_page_when_it_is_told_to(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compatibility.WRITE_VARIABLE, "write")
    assert folder.run(TELEMETRY_IS_SEEN, METHOD_IS_SEEN) == (0, "")
    assert folder.said() == {TELEMETRY, METHOD}


def test_a_part_of_a_run_writes_no_page(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compatibility.WRITE_VARIABLE, "write")
    folder.says(TELEMETRY, METHOD)
    code, said = folder.run(TELEMETRY_IS_SEEN, METHOD_IS_SEEN, more=("-k", "telemetry"))
    assert code == 1
    assert "the page is not written" in said
    assert folder.said() == {TELEMETRY, METHOD}
