from pathlib import Path

import pytest

from gateway.app.latest_time import BUILT_AT, LATEST_TIME_FILE
from gateway.doctor import clock
from support.patients import one, patient_of

NOW = BUILT_AT + 10 * 86_400


@pytest.mark.parametrize(
    ("now", "verdict", "says"),
    [
        (0.0, "problem", "before this version was built"),
        (BUILT_AT - 1, "problem", "before this version was built"),
        (NOW, "ok", "UTC here"),
        (BUILT_AT + 30 * 365 * 86_400, "problem", "twenty years"),
    ],
)
def test_the_year_is_one_that_can_be(tmp_path: Path, now: float, verdict: str, says: str) -> None:
    finding = one(clock.check_year, patient_of(tmp_path, now=now))
    assert finding.verdict.value == verdict
    assert says in finding.says


@pytest.mark.parametrize(
    ("kept", "verdict"),
    [("", "not checked"), ("soon", "not checked"), (str(NOW)[:-2], "ok"), (f"{NOW + 7200:.0f}", "problem")],
)
def test_the_clock_must_not_be_behind_what_was_seen(tmp_path: Path, kept: str, verdict: str) -> None:
    if kept:
        (tmp_path / LATEST_TIME_FILE).write_text(f"{kept}\n")
    finding = one(clock.check_kept_time, patient_of(tmp_path, now=NOW))
    assert finding.verdict.value == verdict
    assert verdict != "problem" or "2 hours behind" in finding.says


@pytest.mark.parametrize(("said", "verdict"), [(True, "ok"), (False, "warning"), (None, "not checked")])
def test_the_kernel_is_asked_who_keeps_its_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, said: bool | None, verdict: str
) -> None:
    monkeypatch.setattr(clock, "kernel_is_synchronised", lambda: said)
    assert one(clock.check_synchronisation, patient_of(tmp_path)).verdict.value == verdict


def test_asking_the_kernel_gives_an_answer_or_none() -> None:
    assert clock.kernel_is_synchronised() in (True, False, None)


@pytest.mark.parametrize(
    ("ahead_s", "verdict", "says"),
    [(5, "ok", "agrees"), (-60, "warning", "60 s behind hub"), (86_400 * 3, "problem", "3 days ahead of hub")],
)
def test_another_clock_is_compared_with_ours(ahead_s: float, verdict: str, says: str) -> None:
    finding = clock.check_against(NOW + ahead_s, NOW, "hub", 300.0)
    assert finding.verdict.value == verdict
    assert says in finding.says
