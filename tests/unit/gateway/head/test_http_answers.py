import json
from collections.abc import Callable

import pytest

from edgewire.errors import ProtocolError
from edgewire.session.http.server import Response
from gateway.head.http_answers import method_refusal, method_result, refusal, status_of


def test_a_refusal_has_the_form_that_clients_take_apart() -> None:
    answer = refusal(412, "the lock is lost")
    message = json.loads(answer.body)["Message"]
    code, text = message.split(";")
    assert (answer.status, code.split(":"), text) == (412, ["ErrorCode", "DeviceMessageLockLost"], "the lock is lost")


@pytest.mark.parametrize("make", [refusal, method_refusal])
def test_only_who_may_come_again_is_told_when(make: Callable[[int, str], Response]) -> None:
    assert ("Retry-After", "5") in make(503, "full").headers
    assert "Retry-After" not in dict(make(401, "no").headers)


def test_every_answer_to_a_method_is_not_to_be_sniffed() -> None:
    for answer in (method_refusal(404, "nobody"), method_refusal(503, "later"), method_result(b"{}")):
        assert ("X-Content-Type-Options", "nosniff") in answer.headers
    assert json.loads(method_refusal(404, "nobody").body) == {"message": "nobody"}


@pytest.mark.parametrize(
    ("reply", "status"), [(405, 405), (400, 400), (None, 400), ("amqp:decode-error", 400), (999, 400)]
)
def test_a_broken_rule_has_its_status(reply: int | str | None, status: int) -> None:
    assert status_of(ProtocolError("x", reply=reply)) == status
