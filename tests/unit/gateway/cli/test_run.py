import asyncio
import gc
import threading

import pytest

from gateway.app.settings import SETTINGS
from gateway.cli.main import main
from gateway.cli.run import COLLECT_AFTER, FAULT, UNUSABLE, settle_collector


def test_the_help_tells_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    for setting in SETTINGS:
        assert setting.name in text


@pytest.mark.parametrize(
    ("environ", "sentences"),
    [
        ({"GATEWAY_MQTT_PORT": "x", "GATEWAY_LOG_LEVEL": "loud"}, ["GATEWAY_MQTT_PORT", "GATEWAY_LOG_LEVEL"]),
        ({"GATEWAY_DATA_DIR": "/proc/nowhere"}, ["/proc/nowhere", "GATEWAY_DATA_DIR"]),
    ],
)
def test_a_start_that_cannot_be_ends_with_2_and_says_what_to_do(
    environ: dict[str, str],
    sentences: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["run"]) == UNUSABLE
    told = capsys.readouterr().err
    assert "Traceback" not in told
    for sentence in sentences:
        assert sentence in told


def test_the_codes_of_a_fault_and_of_an_unusable_start_differ() -> None:
    assert len({0, FAULT, UNUSABLE}) == 3


def test_a_settled_collector_leaves_alone_what_is_set_up_and_still_looks_for_cycles() -> None:
    before = gc.get_threshold()
    try:
        settle_collector()
        assert gc.get_freeze_count() > 0
        assert (gc.isenabled(), gc.get_threshold()[0]) == (True, COLLECT_AFTER)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def test_a_start_that_fails_leaves_no_thread_and_no_loop_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_DATA_DIR", "/proc/nowhere")
    before = set(threading.enumerate())
    main(["run"])
    assert set(threading.enumerate()) <= before  # one of an earlier test may end meanwhile
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
