import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import ProtocolError
from edgewire.iothub.http.paths import (
    Action,
    DeviceRequest,
    allowed_methods,
    is_device_path,
    read_request,
    write_request,
)
from edgewire.message import identity
from project_sources import ROOT

VECTORS: dict[str, list[Any]] = json.loads((ROOT / "tests/vectors/http_device.json").read_text())


@pytest.mark.parametrize(
    ("what", "method", "path", "query", "action", "device", "module", "lock_token"), VECTORS["requests"]
)
def test_a_request_says_what_it_is_for(  # noqa: PLR0917 — the row
    what: str, method: str, path: str, query: str, action: str, device: str, module: str | None, lock_token: str
) -> None:
    expected = DeviceRequest(action=Action(action), identity=identity(device, module), lock_token=lock_token)
    assert read_request(method, path, query) == expected, what
    assert is_device_path(path)


@pytest.mark.parametrize(("what", "method", "path", "query", "status"), VECTORS["refusedRequests"])
def test_what_is_no_such_request_is_refused(what: str, method: str, path: str, query: str, status: int) -> None:
    with pytest.raises(ProtocolError) as refused:
        read_request(method, path, query)
    assert refused.value.reply == status, what


@pytest.mark.parametrize(("what", "path"), VECTORS["otherPaths"])
def test_other_paths_are_none_of_ours(what: str, path: str) -> None:
    assert read_request("POST", path, "api-version=2021-04-12") is None, what
    assert not is_device_path(path)


def test_a_target_names_its_methods() -> None:
    version = "api-version=2021-04-12"
    assert allowed_methods("/devices/d1/messages/events", version) == ("POST",)
    assert allowed_methods("/devices/d1/messages/devicebound", version) == ("GET",)
    assert allowed_methods("/devices/d1", version) == ()


IDS = st.text("azAZ09-.%_*?!(),:=@$'", min_size=1, max_size=128).filter(lambda text: text not in {".", ".."})


@given(st.sampled_from(Action), IDS, st.none() | IDS, st.from_regex(r"[A-Za-z0-9-]{1,64}", fullmatch=True))
def test_what_is_written_can_be_read(action: Action, device: str, module: str | None, lock_token: str) -> None:
    has_lock = action in {Action.COMPLETE, Action.REJECT, Action.ABANDON}
    who = identity(device, module if action in {Action.SEND, Action.INVOKE} else None)
    request = DeviceRequest(action=action, identity=who, lock_token=lock_token if has_lock else "")
    method, target = write_request(request)
    path, _, query = target.partition("?")
    assert read_request(method, path, query) == request


@given(st.text("/devicstwnmgluobaAH.%0123456789eE", max_size=60), st.text("api-version=&20reject", max_size=30))
def test_any_target_causes_nothing_but_protocol_errors(path: str, query: str) -> None:
    try:
        read_request("POST", f"/devices/{path}/messages/events", query)
        read_request("DELETE", f"/devices/d1/messages/devicebound/{path}", query)
    except ProtocolError:
        pass
