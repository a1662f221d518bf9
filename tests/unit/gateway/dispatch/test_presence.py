from edgewire.message import identity
from gateway.dispatch.presence import Ending, Presence

DEVICE = identity("d1")


class RecordedLink:
    def __init__(self) -> None:
        self.ended: list[Ending] = []
        self.judged = 0

    def end(self, why: Ending) -> None:
        self.ended.append(why)

    def judge_again(self) -> None:
        self.judged += 1


def test_the_newest_link_of_an_identity_wins() -> None:
    presence, old, new = Presence(), RecordedLink(), RecordedLink()
    presence.enter(DEVICE, old)
    presence.enter(DEVICE, new)
    assert (old.ended, new.ended) == ([Ending.TAKEN_OVER], [])
    assert len(presence) == 1


def test_a_link_that_was_taken_over_does_not_remove_its_successor() -> None:
    presence, old, new = Presence(), RecordedLink(), RecordedLink()
    presence.enter(DEVICE, old)
    presence.enter(DEVICE, new)
    presence.leave(DEVICE, old)
    assert DEVICE in presence
    presence.leave(DEVICE, new)
    assert DEVICE not in presence


def test_identities_are_ended_with_the_reason_and_absent_ones_are_passed_over() -> None:
    presence, link = Presence(), RecordedLink()
    presence.enter(DEVICE, link)
    assert presence.end([DEVICE, identity("absent")], Ending.CREDENTIALS_CHANGED) == 1
    assert link.ended == [Ending.CREDENTIALS_CHANGED]
    assert presence.identities() == ()


def test_when_the_clock_was_set_every_link_is_told_also_if_it_ends_by_that() -> None:
    presence = Presence()

    class Expired(RecordedLink):
        def judge_again(self) -> None:
            presence.end([DEVICE], Ending.TOKEN_EXPIRED)

    expired, good = Expired(), RecordedLink()
    presence.enter(DEVICE, expired)
    presence.enter(identity("d2"), good)
    presence.judge_again()
    assert expired.ended == [Ending.TOKEN_EXPIRED]
    assert (good.judged, good.ended) == (1, [])


def test_the_link_of_an_identity_is_the_newest_one() -> None:
    presence, link = Presence(), RecordedLink()
    assert presence.link(DEVICE) is None
    presence.enter(DEVICE, link)
    assert presence.link(DEVICE) is link
