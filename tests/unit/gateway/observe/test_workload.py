from gateway.observe.events import Level
from gateway.observe.workload import CertificateIssued, CertificateRunsOut, CertificateTryFailed


def test_an_issued_certificate_says_for_how_long() -> None:
    assert CertificateIssued("pi.site", 30 * 86_400.0).sentence().endswith("'pi.site' issued, valid for 30.0 days")


def test_a_failed_try_says_when_the_next_comes() -> None:
    assert "the daemon is down. Next try in 60 s" in CertificateTryFailed("the daemon is down", 60.0).sentence()


def test_a_certificate_that_runs_out_needs_a_person() -> None:
    assert CertificateRunsOut(7200.0, "x").LEVEL is Level.ERROR
    assert "ends in 2 hours" in CertificateRunsOut(7200.0, "x").sentence()
    assert "has ended: devices cannot connect" in CertificateRunsOut(-1.0, "x").sentence()
