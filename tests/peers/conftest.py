"""The fixtures of this folder, and what its tests saw of compatibility."""

import os
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

import pytest

from support import compatibility
from support.amqp_peers import UAMQP_RUNS_HERE
from support.compatibility import WRITE_VARIABLE, Run, Seen, page_of
from support.gateway_fixtures import certificates, loopback, site

__all__ = ["certificates", "loopback", "seen", "site"]

RUN: Final = pytest.StashKey[Run]()
FOLDER: Final = Path(__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """The run that is to come."""
    config.stash[RUN] = Run()


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Seen:
    """Say that something was seen to work."""
    return request.config.stash[RUN].see


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
    elif report.skipped:
        run.left_out |= not _in_ci()
    elif call.when == "call" and report.passed:
        for mark in marks:
            run.see(*mark.args)
    return report


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """A run of which something was left out cannot say what does not work."""
    for item in items[:1]:
        item.config.stash[RUN].left_out = True


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """The page must say what a whole run has seen, and nothing that a part of one has not."""
    del exitstatus
    run = session.config.stash[RUN]
    if run.failed or session.shouldstop or session.config.option.collectonly:
        return
    whole = _is_whole(session, run)
    wrong: list[str] = []
    if os.environ.get(WRITE_VARIABLE) != "write":
        wrong = run.wrong(compatibility.PAGE.read_text(encoding="utf-8"), whole=whole)
    elif whole:
        compatibility.PAGE.write_text(page_of(run.seen), encoding="utf-8")
    else:
        wrong = ["the page is not written: this was not all of tests/peers"]
    for line in wrong:
        sys.stderr.write(f"\ncompatibility: {line}\n")
    if wrong:
        sys.stderr.write("write docs/compatibility.md again: make compatibility\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_whole(session: pytest.Session, run: Run) -> bool:
    """Whether all of this folder was run, here where all of it can be, with nothing picked out of it."""
    files = {item.path for item in session.items}
    all_of_it = set(FOLDER.glob("test_*.py"))
    by_function = any("::" in argument for argument in session.config.args)
    # Port 443 is a privilege, and uamqp runs on amd64 alone. In CI neither excuses: what is missing there is a failure.
    everything_runs_here = _in_ci() or (os.geteuid() == 0 and UAMQP_RUNS_HERE)
    left_out = run.left_out or by_function or session.testsfailed > 0
    return everything_runs_here and not left_out and all_of_it <= files


def _in_ci() -> bool:
    return bool(os.environ.get("CI"))
