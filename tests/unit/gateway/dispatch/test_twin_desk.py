import orjson
import pytest

from edgewire.message import Identity, identity
from gateway.dispatch.twin_desk import TWINS_NOT_SERVED, NoTwins, TwinDesk, TwinReply, failed

D1 = identity("d1")


class Watcher:
    def desired(self, patch: bytes, version: int) -> None:
        raise AssertionError((patch, version))


@pytest.mark.parametrize("status", [400, 413, 429, 501, 503])
def test_a_failure_says_its_status_and_its_reason_in_the_body_too(status: int) -> None:
    reply = failed(status, 'a "reason"')
    assert reply.status == status
    assert orjson.loads(reply.document) == {"errorCode": status * 1000, "message": 'a "reason"'}
    assert reply.version is None


def test_where_twins_are_not_served_each_request_is_answered_501() -> None:
    desk: TwinDesk = NoTwins()
    replies: list[TwinReply] = []
    desk.get(D1, replies.append)
    desk.report(D1, b"{}", replies.append)
    assert replies == [TWINS_NOT_SERVED] * 2
    assert not desk.is_served
    watcher = Watcher()
    desk.subscribe(D1, watcher)
    desk.unsubscribe(D1, watcher)


def test_a_report_that_is_not_kept_is_heard_by_who_listens() -> None:
    desk, heard, replies = NoTwins(), list[tuple[Identity, bytes]](), list[TwinReply]()
    desk.hearer = lambda who, patch: heard.append((who, patch))
    desk.report(D1, b"{}", replies.append)
    assert (heard, replies) == ([(D1, b"{}")], [TWINS_NOT_SERVED])
