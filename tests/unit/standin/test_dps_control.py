import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from standin.app import Ports, StandIn
from standin.client import Control, ControlError
from standin.dps_control import without_secrets

K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[StandIn]:
    ports = Ports(mqtt=0, websocket=None, amqp=None)
    async with StandIn(tmp_path / "run", address="127.0.70.23", ports=ports) as standin:
        yield standin


async def ask(standin: StandIn, method: str, path: str, body: object = None, **query: str) -> Any:
    return await asyncio.to_thread(Control(standin.directory).ask, method, path, body, **query)


async def test_an_enrolment_has_all_that_was_said(standin: StandIn) -> None:
    body = {
        "name": "reg-01",
        "keys": [K1, K1],
        "deviceId": "pump-7",
        "iotEdge": True,
        "enabled": False,
        "tags": {"t": 1},
        "desired": {"i": 5},
        "reprovisioning": "reset",
        "payload": {"p": 1},
    }
    answer = await ask(standin, "POST", "/enrolments", body)
    assert answer["idScope"] == "0ne00STANDIN"
    shown = answer["enrolment"]
    assert (shown["primaryKey"], shown["secondaryKey"]) == (K1, K1)
    assert {name: shown[name] for name in body if name != "keys"} == {k: v for k, v in body.items() if k != "keys"}
    assert (await ask(standin, "GET", "/enrolments"))["enrolments"] == [shown]
    assert K1 not in str(without_secrets(shown))


async def test_what_is_left_out_has_its_default(standin: StandIn) -> None:
    shown = (await ask(standin, "POST", "/enrolments", {"name": "reg-01"}))["enrolment"]
    assert (shown["enabled"], shown["group"], shown["hub"], shown["reprovisioning"]) == (True, False, "", "keep")
    assert shown["registrations"] == []


async def test_an_enrolment_is_changed_and_removed(standin: StandIn) -> None:
    for group in (False, True):
        await ask(standin, "POST", "/enrolments", {"name": "a", "group": group})
    changed = await ask(standin, "PATCH", "/enrolments", {"enabled": False}, name="a", kind="group")
    assert (changed["group"], changed["enabled"]) == (True, False)
    removed = await ask(standin, "DELETE", "/enrolments", name="A", kind="individual")
    assert removed["group"] is False
    assert [each["group"] for each in (await ask(standin, "GET", "/enrolments"))["enrolments"]] == [True]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "not a JSON object"),
        ({}, "is impossible"),
        ({"name": "a", "tags": [1]}, "tags is no JSON object"),
        ({"name": "a", "hub": "nowhere"}, "link it first"),
        ({"name": "a", "group": True, "authority": "nonsense"}, "cannot be read"),
        ({"name": "a", "reprovisioning": "never"}, "never"),
    ],
)
async def test_what_makes_no_sense_is_explained(standin: StandIn, body: object, says: str) -> None:
    with pytest.raises(ControlError, match=says) as caught:
        await ask(standin, "POST", "/enrolments", body)
    assert caught.value.status == 400


async def test_a_body_that_is_no_json_is_explained(standin: StandIn) -> None:
    with pytest.raises(ControlError, match="not JSON"):
        await ask(standin, "POST", "/enrolments")


@pytest.mark.parametrize("name", ["root", "issuing"])
async def test_a_ca_of_the_folder_may_be_named(standin: StandIn, name: str) -> None:
    body = {"name": "fleet", "group": True, "authority": name}
    shown = (await ask(standin, "POST", "/enrolments", body))["enrolment"]
    assert (shown["attestation"], shown["primaryKey"]) == ("x509", "")
    assert (shown["authority"] == standin.trust_bundle) is (name == "root")


async def test_hubs_are_linked_and_unlinked(standin: StandIn) -> None:
    hub = {"name": "other", "host": "127.0.0.8", "directory": "/nowhere"}
    assert await ask(standin, "POST", "/linked-hubs", hub) == hub
    assert await ask(standin, "GET", "/linked-hubs") == {"hubs": [hub]}
    await ask(standin, "DELETE", "/linked-hubs", name="other")
    assert await ask(standin, "GET", "/linked-hubs") == {"hubs": []}
    with pytest.raises(ControlError, match="no hub"):
        await ask(standin, "DELETE", "/linked-hubs", name="other")


@pytest.mark.parametrize(("path", "body"), [("/linked-hubs", {"name": "other"}), ("/assigned", {"deviceId": "d"})])
async def test_what_is_missing_is_named(standin: StandIn, path: str, body: object) -> None:
    with pytest.raises(ControlError, match="has no") as caught:
        await ask(standin, "POST", path, body)
    assert caught.value.status == 400


async def test_another_stand_in_has_a_device_here(standin: StandIn) -> None:
    body = {"deviceId": "d", "keys": [K1, K1], "thumbprints": [], "iotEdge": False, "tags": {}, "reset": False}
    assert await ask(standin, "POST", "/assigned", {**body, "desired": {"i": 5}}) == {"wasThere": False}
    assert standin.hub.twin(identity("d")).desired == {"i": 5}
    assert await ask(standin, "GET", "/assigned", device="d") == {
        "isThere": True,
        "tags": {},
        "desired": {"i": 5},
    }
    assert await ask(standin, "DELETE", "/assigned", device="d") == {"deviceId": "d"}
    assert standin.hub.registry.get(identity("d")) is None
    assert await ask(standin, "GET", "/assigned", device="d") == {"isThere": False}
