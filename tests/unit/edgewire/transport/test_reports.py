from enum import Enum

import pytest

from edgewire.transport.reports import CutReason, HandshakeFailure, TurnedAwayReason


@pytest.mark.parametrize("reasons", [TurnedAwayReason, HandshakeFailure, CutReason])
def test_reasons_are_fit_for_labels(reasons: type[Enum]) -> None:
    for reason in reasons:
        assert reason.value == reason.name.lower()
