"""The rules for all event classes stand in test_events.py; here, what the sentences of this room must not leave out."""

from gateway.observe.twin import TwinReportRefused, TwinsNotOpened, TwinsSetAside


def test_reports_that_are_dropped_are_said_with_what_to_do() -> None:
    sentence = TwinReportRefused("d1", 400, "no").sentence()
    assert "'d1'" in sentence
    assert "status 400: no" in sentence
    assert "report again" in sentence


def test_a_file_set_aside_says_what_is_lost_and_where_it_is() -> None:
    sentence = TwinsSetAside("/data/twins.db.damaged", "malformed").sentence()
    assert "/data/twins.db.damaged" in sentence
    assert "reports that waited for the cloud are lost" in sentence


def test_a_file_that_cannot_be_opened_is_tried_again() -> None:
    assert TwinsNotOpened("no key", 4.2).sentence() == "twins are not served: no key. Next try in 4 s"
