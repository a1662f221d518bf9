from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.message import identity
from standin.app import Ports, StandIn
from standin.client import ControlError
from standin.documents import Documents
from standin.dps_enrolments import EnrolmentError
from standin.dps_hubs import AssignError, Assignment, OwnHub
from standin.dps_linked import LinkedHub, LinkedHubs, find_hub
from standin.hub import Hub
from standin.routes import EVERYTHING_UPSTREAM

K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
DEVICE = Assignment(device="d", keys=(K1, K1), tags={"t": 1}, desired={"i": 5})
OTHER = LinkedHub(name="other", host="127.0.0.8", directory=Path("/nowhere"))


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[OwnHub]:
    hub = Hub(tmp_path, edge_device="edge-1", routes=EVERYTHING_UPSTREAM)
    yield OwnHub(hub, "127.0.0.7")
    hub.close()


async def test_the_own_hub_has_the_empty_name_and_links_are_found_again(tmp_path: Path, own: OwnHub) -> None:
    with Documents(tmp_path / "links.db") as documents:
        hubs = LinkedHubs(documents, own)
        assert hubs[""] is own
        hubs.link(OTHER)
        again = LinkedHubs(documents, own)
        assert list(again) == ["", "other"]
        assert len(again) == 2
        assert (again["other"], again.linked()) == (OTHER, (OTHER,))
        again.unlink("other")
        assert "other" not in LinkedHubs(documents, own)
        with pytest.raises(EnrolmentError, match="no hub 'other'"):
            again.unlink("other")


async def test_a_hub_that_does_not_run_cannot_take_a_device(tmp_path: Path) -> None:
    with pytest.raises(AssignError, match="nobody answers"):
        await OTHER.assign(DEVICE)
    with pytest.raises(ControlError):
        find_hub(tmp_path)


async def test_a_device_goes_to_another_stand_in_and_comes_back(tmp_path: Path) -> None:
    ports = Ports(mqtt=0, websocket=None, amqp=None)
    async with StandIn(tmp_path / "run", address="127.0.70.22", ports=ports) as other:
        hub = LinkedHub(name="other", host="127.0.70.22", directory=other.directory)
        assert await hub.assign(DEVICE) is False
        assert await hub.assign(DEVICE) is True
        assert other.hub.twin(identity("d")).tags == {"t": 1}
        assert await hub.sections("d") == ({"t": 1}, {"i": 5})
        await hub.release("d")
        assert other.hub.registry.get(identity("d")) is None
        assert await hub.sections("d") is None
        with pytest.raises(AssignError, match="other: the id"):
            await hub.assign(Assignment(device="a b", keys=(K1, K1)))
