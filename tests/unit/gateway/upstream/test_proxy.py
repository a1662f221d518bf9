import pytest

from edgewire.message import Outcome
from gateway.upstream.proxy import LinkState, LinkStatus, MethodReply, Sent


@pytest.mark.parametrize(
    ("state", "reason", "last_success_at", "sentence"),
    [
        (LinkState.CONNECTED, "", 97.0, "connected for 10 s; last sign of life 3 s ago; 2 in flight"),
        (
            LinkState.WAITING,
            "cannot reach pi.site:8883",
            None,
            "waiting for 10 s: cannot reach pi.site:8883; nothing acknowledged yet; 2 in flight",
        ),
    ],
)
def test_a_link_says_how_it_is(state: LinkState, reason: str, last_success_at: float | None, sentence: str) -> None:
    status = LinkStatus(state=state, reason=reason, since_at=90.0, last_success_at=last_success_at, in_flight=2)

    assert status.sentence(100.0) == sentence


def test_what_went_well_needs_no_reason() -> None:
    assert Sent(Outcome.ACCEPTED).reason == ""
    assert MethodReply(200).payload is None
