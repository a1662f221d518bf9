import json

import pytest

from edgewire.errors import ProtocolError
from edgewire.session.http.events import Headers, RequestReceived
from standin.http_errors import (
    ERROR_NAMES,
    error_response,
    fault_response,
    malformed_response,
    unknown_path_response,
)


@pytest.mark.parametrize("code", ERROR_NAMES)
def test_every_code_has_the_body_that_clients_take_apart(code: int) -> None:
    answer = error_response(code, "what was wrong")
    body = json.loads(answer.body)
    message = body["Message"].split(";")
    assert answer.status == code // 1000
    assert message == [f"ErrorCode:{ERROR_NAMES[code]}", "what was wrong"]
    assert body["ExceptionMessage"].startswith("Tracking ID:")
    assert ("iothub-errorcode", ERROR_NAMES[code]) in answer.headers


def test_a_code_without_a_name_is_an_answer_too() -> None:
    assert error_response(418000, "x").status == 418


@pytest.mark.parametrize(
    ("reply", "status"), [(None, 400), (400, 400), (405, 405), (413, 413), (404001, 404), ("amqp:x", 400), (499, 400)]
)
def test_a_broken_rule_has_its_status(reply: int | str | None, status: int) -> None:
    assert malformed_response(ProtocolError("x", reply=reply)).status == status


def test_what_was_asked_for_is_named_where_nobody_serves_it() -> None:
    request = RequestReceived(method="GET", path="/x", query="", headers=Headers())
    answer = unknown_path_response(request)
    assert (answer.status, b"GET /x" in answer.body) == (404, True)
    assert fault_response().status == 500
