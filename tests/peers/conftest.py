"""The fixtures of this folder, and what its tests saw of compatibility."""

import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

import pytest

from support.compatibility import PAGE, WRITE_VARIABLE, Cell, Run, Table, cells_of, page_of
from support.gateway_fixtures import certificates, loopback, site

__all__ = ["certificates", "loopback", "seen", "site"]

RUN: Final = pytest.StashKey[Run]()
FOLDER: Final = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """The run that is to come."""
    config.stash[RUN] = Run()


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Callable[[Table, str, str], None]:
    """Say that something was seen to work."""
    run = request.config.stash[RUN]
    return lambda table, row, column: run.seen.add(Cell(table, row, column))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count what the marks of a test say, if it passed."""
    report = yield
    run = item.config.stash[RUN]
    marks = list(item.iter_markers("works"))
    if report.failed and (marks or "seen" in getattr(item, "fixturenames", ())):
        run.failed.add(item.nodeid)
    elif call.when == "call" and report.passed:
        run.seen |= {Cell(*mark.args) for mark in marks}
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """The page must say what a whole run has seen, and nothing that a part of one has not."""
    del exitstatus
    run = session.config.stash[RUN]
    if run.failed or not run.seen or session.shouldstop or session.config.option.collectonly:
        return
    if os.environ.get(WRITE_VARIABLE) == "write":
        PAGE.write_text(page_of(run.seen), encoding="utf-8")
        return
    said = cells_of(PAGE.read_text(encoding="utf-8"))
    wrong = dict.fromkeys(run.seen - said, "was seen, and the page does not say it")
    if _is_whole(session):
        wrong |= dict.fromkeys(said - run.seen, "is on the page, and was not seen")
    for cell, what in wrong.items():
        sys.stderr.write(f"\ncompatibility: {cell.table.value}: {cell.row}: {cell.column} {what}\n")
    if wrong:
        sys.stderr.write("write docs/compatibility.md again: make compatibility\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_whole(session: pytest.Session) -> bool:
    """Whether all of this folder was run, with nothing picked out of it."""
    picked = session.config.option.keyword or session.config.option.markexpr
    files = {item.path for item in session.items}
    all_of_it = set(FOLDER.glob("test_*.py"))
    by_function = any("::" in argument for argument in session.config.args)
    return not picked and not by_function and all_of_it <= files and session.testsfailed == 0
