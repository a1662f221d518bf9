from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgewire.message import identity
from standin.dps_hubs import AssignError, Assignment, OwnHub, assign, assignment_from_json, release, sections
from standin.hub import Hub
from standin.registry import Authentication, Entry, symmetric_entry
from standin.routes import EVERYTHING_UPSTREAM

K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
K2 = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
WHO = identity("d")
BY_KEY = Assignment(device="d", keys=(K1, K2), tags={"t": 1}, desired={"i": 5})
BY_CERTIFICATE = Assignment(device="d", thumbprints=("A" * 64,))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    hub = Hub(tmp_path, edge_device="edge-1", routes=EVERYTHING_UPSTREAM)
    yield hub
    hub.close()


def entry(hub: Hub) -> Entry:
    found = hub.registry.get(WHO)
    assert found is not None
    return found


async def test_a_new_device_has_its_keys_and_its_twin(hub: Hub) -> None:
    assert assign(hub, BY_KEY) is False
    assert (entry(hub).primary_key, entry(hub).secondary_key, entry(hub).edge) == (K1, K2, False)
    assert (hub.twin(WHO).tags, hub.twin(WHO).desired) == ({"t": 1}, {"i": 5})


async def test_a_device_with_a_certificate_has_its_thumbprint(hub: Hub) -> None:
    assign(hub, BY_CERTIFICATE)
    assert (entry(hub).authentication, entry(hub).thumbprints) == (Authentication.THUMBPRINT, ("A" * 64,))
    assert hub.twin(WHO).version == 1


async def test_an_edge_device_is_one(hub: Hub) -> None:
    assign(hub, replace(BY_KEY, edge=True))
    assert entry(hub).edge


async def test_a_device_that_is_there_gets_new_credentials_and_keeps_its_twin(hub: Hub) -> None:
    hub.add(symmetric_entry(WHO))
    hub.patch_desired(WHO, {"mine": 1})
    assert assign(hub, replace(BY_KEY, edge=True)) is True
    assert (entry(hub).primary_key, entry(hub).edge) == (K1, True)
    assert hub.twin(WHO).desired == {"mine": 1}
    etag = entry(hub).etag
    assert assign(hub, BY_KEY) is True
    assert entry(hub).etag == etag
    assign(hub, BY_CERTIFICATE)
    assert (entry(hub).authentication, entry(hub).primary_key) == (Authentication.THUMBPRINT, "")
    assert assign(hub, BY_CERTIFICATE) is True


async def test_a_reset_begins_anew(hub: Hub) -> None:
    assign(hub, BY_KEY)
    hub.patch_desired(WHO, {"mine": 1})
    generation = entry(hub).generation_id
    assert assign(hub, replace(BY_KEY, reset=True)) is True
    assert hub.twin(WHO).desired == {"i": 5}
    assert entry(hub).generation_id != generation


async def test_a_device_that_is_released_is_gone_with_its_twin(hub: Hub) -> None:
    assign(hub, BY_KEY)
    assert sections(hub, "d") == ({"t": 1}, {"i": 5})
    release(hub, "d")
    assert hub.registry.get(WHO) is None
    release(hub, "d")
    assert sections(hub, "d") is None


def test_an_assignment_travels_whole() -> None:
    asked = replace(BY_KEY, edge=True, reset=True)
    assert assignment_from_json(asked.to_json()) == asked
    assert assignment_from_json(BY_CERTIFICATE.to_json()) == BY_CERTIFICATE
    assert K1 not in repr(asked)


@pytest.mark.parametrize("impossible", [replace(BY_KEY, device="a b"), replace(BY_KEY, desired={"a.b": 1})])
async def test_what_the_hub_refuses_is_an_assign_error(hub: Hub, impossible: Assignment) -> None:
    own = OwnHub(hub, "127.0.0.7")
    assert own.host == "127.0.0.7"
    with pytest.raises(AssignError):
        await own.assign(impossible)
    assert hub.registry.get(identity(impossible.device)) is None


async def test_the_own_hub_assigns_and_releases(hub: Hub) -> None:
    own = OwnHub(hub, "127.0.0.7")
    assert await own.assign(BY_KEY) is False
    assert await own.sections("d") == ({"t": 1}, {"i": 5})
    await own.release("d")
    assert hub.registry.get(WHO) is None
