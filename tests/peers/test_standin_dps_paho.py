"""The stand-in's provisioning by the topics alone: a board that has paho-mqtt, or less, and no SDK."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from standin.app import Ports, StandIn
from standin.dps import DEFAULT_SCOPE, DpsOptions
from support.clients import Client
from support.compatibility import Table, works
from support.paho_provisioning import Board, Registration
from support.provisioning import KEY, WRONG_KEY, Files, derived, enrol, enrol_ca_group, enrol_self_signed

ROW = Client.PAHO.over("mqtt3")
NOT_AUTHORIZED = 5
BAD_CLIENT_ID = 2


@pytest.fixture
async def standin(tmp_path: Path, loopback: Iterator[str]) -> AsyncIterator[StandIn]:
    ports = Ports(websocket=None, amqp=None)
    async with StandIn(tmp_path / "run", address=next(loopback), ports=ports, dps=DpsOptions(delay_s=0)) as standin:
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def board(standin: StandIn, registration: str, key: str) -> Board:
    return Board(
        host=standin.address,
        scope=DEFAULT_SCOPE,
        registration=registration,
        trust=standin.trust_bundle,
        key=key,
    )


def certified(standin: StandIn, registration: str, files: Files) -> Board:
    return Board(
        host=standin.address,
        scope=DEFAULT_SCOPE,
        registration=registration,
        trust=standin.trust_bundle,
        files=(str(files.chain), str(files.key)),
    )


@works(Table.SERVICE, ROW, "individual key")
async def test_an_enrolled_board_is_assigned(standin: StandIn) -> None:
    enrol(standin, device="pump-7")
    async with Registration(board(standin, "reg-01", KEY)) as registration:
        state = await registration.assigned(payload={"model": "nodemcu"})
    assert (state["assignedHub"], state["deviceId"]) == (standin.address, "pump-7")
    assert (state["status"], state["substatus"]) == ("assigned", "initialAssignment")
    assert state["payload"] == {"model": "nodemcu"}


@works(Table.SERVICE, ROW, "group key")
async def test_a_board_of_a_group_is_assigned_by_its_derived_key(standin: StandIn) -> None:
    enrol(standin, "meters", group=True)
    async with Registration(board(standin, "meter-0815", derived("meter-0815"))) as registration:
        assert (await registration.assigned())["deviceId"] == "meter-0815"


@works(Table.SERVICE, ROW, "X.509")
async def test_a_board_with_a_certificate_of_its_own_is_assigned(standin: StandIn, tmp_path: Path) -> None:
    files = enrol_self_signed(standin, "cert-1", tmp_path)
    async with Registration(certified(standin, "cert-1", files)) as registration:
        assert (await registration.assigned())["deviceId"] == "cert-1"


@works(Table.SERVICE, ROW, "X.509 CA")
async def test_a_board_of_a_ca_is_assigned(standin: StandIn, tmp_path: Path) -> None:
    files = enrol_ca_group(standin, "fleet", "fleet-7", tmp_path)
    async with Registration(certified(standin, "fleet-7", files)) as registration:
        assert (await registration.assigned())["deviceId"] == "fleet-7"


@works(Table.SERVICE, ROW, "refusals")
async def test_a_wrong_key_is_refused_at_the_login(standin: StandIn) -> None:
    enrol(standin)
    async with Registration(board(standin, "reg-01", WRONG_KEY)) as registration:
        assert await registration.connects.next() == NOT_AUTHORIZED


async def test_a_client_id_that_is_not_the_registrations_is_refused(standin: StandIn) -> None:
    enrol(standin)
    plain = board(standin, "reg-01", KEY)
    other = Board(
        host=plain.host, scope=plain.scope, registration="reg-01", trust=plain.trust, key=KEY, client_id="reg-02"
    )
    async with Registration(other) as registration:
        assert await registration.connects.next() == BAD_CLIENT_ID


async def test_another_registration_in_the_document_is_refused(standin: StandIn) -> None:
    enrol(standin)
    enrol(standin, "reg-02")
    async with Registration(board(standin, "reg-01", KEY)) as registration:
        assert await registration.connects.next() == 0
        await registration.listen()
        told = await registration.register(registrationId="reg-02")
    assert (told.status, told.document["errorCode"]) == (400, 400004)
