from gateway.doctor.finding import Verdict, not_checked, ok, problem, warning


def test_each_verdict_is_made_by_its_own_word() -> None:
    assert ok("a").verdict is Verdict.OK
    assert not_checked("a").verdict is Verdict.NOT_CHECKED
    for make, verdict in ((warning, Verdict.WARNING), (problem, Verdict.PROBLEM)):
        finding = make("a", "b", "c")
        assert (finding.verdict, finding.says, finding.follows, finding.fix) == (verdict, "a", "b", "c")
