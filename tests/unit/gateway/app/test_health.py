import pytest

from gateway.app.health import Health, Reason
from gateway.store.values import StoreState


def health(state: StoreState | None = StoreState.READY, *, listening: bool = True, stuck: bool = False) -> Health:
    made = Health()
    made.look_at(store_state=lambda: state, is_listening=lambda: listening, is_stuck=lambda: stuck)
    made.started()
    return made


def test_before_anything_is_open_it_lives_and_is_not_ready() -> None:
    assert Health().report() == {"live": True, "ready": False, "reasons": ["starting"]}


@pytest.mark.parametrize(
    ("made", "lives", "reasons"),
    [
        (health(), 1, []),
        (health(None), 1, []),
        (health(StoreState.FULL), 1, ["store_full"]),
        (health(StoreState.FAILED), 1, ["store_failed"]),
        (health(listening=False), 0, ["listener_closed"]),
        (health(stuck=True), 0, ["store_stuck"]),
        (health(StoreState.FULL, listening=False, stuck=True), 0, ["store_stuck", "listener_closed", "store_full"]),
    ],
)
def test_what_is_wrong_is_said_in_words_of_a_closed_set(made: Health, lives: int, reasons: list[str]) -> None:
    assert made.report() == {"live": bool(lives), "ready": not reasons, "reasons": reasons}
    assert all(Reason(reason) for reason in reasons)


def test_who_stops_is_not_ready_and_misses_no_listener() -> None:
    made = health(listening=False)
    made.stopping()
    assert made.report() == {"live": True, "ready": False, "reasons": ["stopping"]}
