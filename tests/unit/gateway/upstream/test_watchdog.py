from gateway.upstream.watchdog import Watchdog


def test_an_idle_link_is_never_given_up() -> None:
    watchdog = Watchdog(60.0)
    assert watchdog.deadline() is None

    watchdog.on_started(10.0)
    watchdog.on_progress(11.0)

    assert watchdog.deadline() is None


def test_a_link_is_given_up_when_nothing_comes_back_for_the_limit() -> None:
    watchdog = Watchdog(60.0)

    watchdog.on_started(10.0)
    watchdog.on_started(50.0)

    assert watchdog.deadline() == 70.0


def test_every_acknowledgement_starts_the_time_again() -> None:
    watchdog = Watchdog(60.0)
    watchdog.on_started(10.0)
    watchdog.on_started(10.0)

    watchdog.on_progress(30.0)

    assert watchdog.deadline() == 90.0


def test_idle_time_does_not_count() -> None:
    watchdog = Watchdog(60.0)
    watchdog.on_started(10.0)
    watchdog.on_progress(11.0)

    watchdog.on_started(500.0)

    assert watchdog.deadline() == 560.0


def test_with_its_link_gone_nothing_waits() -> None:
    watchdog = Watchdog(60.0)
    watchdog.on_started(10.0)

    watchdog.on_closed()

    assert watchdog.deadline() is None
