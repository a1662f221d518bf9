"""The rules for all event classes stand in test_events.py; here, what the sentences of this room must not leave out."""

import pytest

from gateway.observe.firmware import (
    BoardFailure,
    BoardNotUpdated,
    FirmwareDamaged,
    RolloutsSetAside,
    RolloutStopped,
    RolloutTurn,
    RolloutTurned,
)


def test_a_rollout_that_stopped_says_what_to_do() -> None:
    sentence = RolloutStopped("nodemcu", "1.1.0", 3).sentence()
    assert "3 boards did not get there" in sentence
    assert "resume or abort" in sentence


@pytest.mark.parametrize("turn", RolloutTurn)
def test_each_turn_has_its_words(turn: RolloutTurn) -> None:
    assert RolloutTurned("m", "1.0", turn).sentence().startswith("the roll-out of 1.0 to boards 'm' ")


def test_a_board_says_why_and_what_it_said() -> None:
    assert BoardNotUpdated("b", "1.0", BoardFailure.SILENT, "").sentence() == "'b' was not updated to 1.0 (silent)"
    assert BoardNotUpdated("b", "1.0", BoardFailure.REFUSED, "no").sentence().endswith("(refused): no")


def test_files_are_named_with_what_to_do() -> None:
    assert "remove that version and add it again" in FirmwareDamaged("/data/x", "torn").sentence()
    assert "/data/y" in RolloutsSetAside("/data/y", "torn").sentence()
