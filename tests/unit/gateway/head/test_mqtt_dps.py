import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.codec.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Puback,
    Publish,
    Suback,
    Subscribe,
    SubscribeFilter,
    Unsuback,
    Unsubscribe,
    Will,
)
from edgewire.codec.mqtt.properties import ConnectProperties
from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.iothub import sas
from edgewire.iothub.dps import Register, Registrant
from edgewire.session.mqtt.limits import ServerLimits
from gateway.dispatch.provisioning import Provisioning
from gateway.head import mqtt_dps
from gateway.head.mqtt_dps import MqttProvisioning, MqttVisitor
from gateway.identity.assignments import Assignments
from gateway.observe.provisioning import ProvisioningRefusal, ProvisioningRefused
from support.gateway_site import until
from support.mqtt_site import Device, Site
from support.provisioning_service import ScriptedService

REG = Registrant("0ne00ABCDEF", "reg-01")
LOGIN = "{}/api-version=2019-03-31&ClientVersion=board"
RESULTS = "$dps/registrations/res/#"
REGISTER = "$dps/registrations/PUT/iotdps-register/?$rid=7"
POLL = "$dps/registrations/GET/iotdps-get-operationstatus/?$rid=8&operationId=4.x"
BODY = b'{"registrationId":"reg-01"}'
STATE = {"registrationId": "reg-01", "assignedHub": "hub.test", "deviceId": "pump-7"}
ASSIGNED = {"operationId": "4.x", "status": "assigned", "registrationState": STATE}


class DpsSite(Site):
    """A site with a provisioning service behind it."""

    service: ScriptedService
    room: MqttProvisioning

    def serve(self, folder: Path) -> None:
        self.service = ScriptedService()
        assignments = Assignments(folder / "assignments.json", self.registry, self.events.append, self.clock)
        provisioning = Provisioning(
            self.service,
            assignments,
            gateway="pi.local",
            hub_names=("hub.test",),
            emit=self.events.append,
            clock=self.clock,
        )
        self.room = self.head.provisioning = MqttProvisioning(provisioning, self.events.append)

    def sas(self, who: Registrant = REG, *, key: bytes = b"k" * 32, life_s: float = 3600) -> bytes:
        return sas.make(str(who), key, int(self.clock.now + life_s)).encode()

    def board(self, who: Registrant = REG, *, level: int = 4, **options: Any) -> Device:
        """A board that was let in and listens; nothing it was told is left."""
        board = self.connect(who.registration, username=LOGIN.format(who), token=self.sas(who), level=level, **options)
        board.send(Subscribe(packet_id=1, filters=(SubscribeFilter(filter=RESULTS, qos=1),)))
        connack, suback = board.received()
        assert isinstance(connack, Connack)
        assert (connack.code, connack.session_present) == (0, False)
        assert isinstance(suback, Suback)
        assert suback.codes == (1,)
        return board


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[DpsSite]:
    async with DpsSite.open(tmp_path) as site:
        site.serve(tmp_path)
        yield site


def told(board: Device) -> tuple[str, dict[str, Any]]:
    """The topic and the document of the one answer, past what was acknowledged."""
    [answer] = [packet for packet in board.received() if isinstance(packet, Publish)]
    return answer.topic, json.loads(answer.payload)


@pytest.mark.parametrize("level", [3, 4, 5])
async def test_a_board_registers_polls_and_is_assigned(site: DpsSite, level: int) -> None:
    board = site.board(level=level)
    board.publish(REGISTER, BODY)
    assert [type(packet) for packet in board.received()] == [Puback]
    (question, _) = site.service.asked[0]
    assert (question.registrant, question.request, question.body) == (REG, Register(), BODY)
    assert question.token.encode() == site.sas()
    site.service.answer(202, {"operationId": "4.x", "status": "assigning"}, 3)
    assert told(board)[0] == "$dps/registrations/res/202/?$rid=7&retry-after=3"
    board.publish(POLL, b" ", packet_id=2)
    site.service.answer(200, ASSIGNED)
    topic, document = told(board)
    assert topic == "$dps/registrations/res/200/?$rid=8"
    assert document["registrationState"] == STATE | {"gatewayHostName": "pi.local"}


async def test_a_device_of_the_hub_is_none_of_its_visitors(site: DpsSite) -> None:
    device = site.login("d1")
    assert not isinstance(device.pump.owner, MqttVisitor)
    assert isinstance(site.board().pump.owner, MqttVisitor)


async def test_without_a_service_its_user_names_are_no_user_names(site: DpsSite) -> None:
    site.head.provisioning = None
    board = site.connect("reg-01", username=LOGIN.format(REG), token=site.sas())
    [connack] = board.received()
    assert isinstance(connack, Connack)
    assert connack.code == 4


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"device": "reg-02"}, 2, ProvisioningRefusal.FOREIGN_REGISTRATION),
        ({"username": LOGIN.format("0ne00ABCDEF/registrations/reg_")}, 4, ProvisioningRefusal.MALFORMED),
        (
            {"username": LOGIN.format("0ne00ABCDEF/registrations/reg-02"), "device": "reg-02"},
            5,
            ProvisioningRefusal.FOREIGN_TOKEN,
        ),
        ({"token": b"SharedAccessSignature x"}, 5, ProvisioningRefusal.MALFORMED_TOKEN),
        ({"token": b"\xff\xfe"}, 5, ProvisioningRefusal.MALFORMED_TOKEN),
        ({"token": b""}, 5, ProvisioningRefusal.NO_TOKEN),
        ({"will": Will(topic=RESULTS[:-2], payload=b"", qos=0, retain=False)}, 5, ProvisioningRefusal.MALFORMED),
    ],
)
async def test_who_cannot_be_meant_is_turned_away(
    site: DpsSite, changes: dict[str, Any], code: int, reason: ProvisioningRefusal
) -> None:
    options: dict[str, Any] = {"device": "reg-01", "username": LOGIN.format(REG), "token": site.sas()} | changes
    board = site.connect(**options)
    [connack] = board.received()
    assert isinstance(connack, Connack)
    assert connack.code == code
    assert board.is_closed()
    assert site.reasons(ProvisioningRefused) == [reason]
    assert site.service.asked == []


async def test_a_certificate_is_not_passed_on(site: DpsSite) -> None:
    board = site.dial(certificates=(b"\x30\x00",))
    board.send(Connect(client_id="reg-01", level=4, clean_start=True, keep_alive_s=60, username=LOGIN.format(REG)))
    [connack] = board.received()
    assert isinstance(connack, Connack)
    assert connack.code == 5
    assert site.reasons(ProvisioningRefused) == [ProvisioningRefusal.CERTIFICATE]


async def test_the_case_of_an_id_does_not_matter(site: DpsSite) -> None:
    board = site.connect("REG-01", username=LOGIN.format(REG), token=site.sas(Registrant("0NE00abcdef", "Reg-01")))
    [connack] = board.received()
    assert isinstance(connack, Connack)
    assert connack.code == 0


@pytest.mark.parametrize("level", [4, 5])
async def test_who_publishes_elsewhere_is_cut(site: DpsSite, level: int) -> None:
    board = site.board(level=level)
    board.publish("devices/reg-01/messages/events/", b"{}")
    assert board.is_closed()
    if level == 5:
        [goodbye] = board.received()
        assert isinstance(goodbye, Disconnect)
        assert goodbye.reason == ReasonCode.TOPIC_NAME_INVALID
    assert site.stored() == []


async def test_nothing_but_answers_can_be_listened_to(site: DpsSite) -> None:
    board = site.connect("reg-01", username=LOGIN.format(REG), token=site.sas())
    filters = ("#", "$dps/#", "devices/d1/messages/devicebound/#", RESULTS)
    wanted = tuple(SubscribeFilter(filter=each, qos=0) for each in filters)
    board.send(Subscribe(packet_id=1, filters=wanted))
    suback = board.received()[1]
    assert isinstance(suback, Suback)
    assert suback.codes == (128, 128, 128, 0)


async def test_an_answer_that_nobody_listens_to_is_lost(site: DpsSite) -> None:
    board = site.board()
    board.send(Unsubscribe(packet_id=2, filters=(RESULTS,)))
    assert [type(packet) for packet in board.received()] == [Unsuback]
    board.publish(REGISTER, BODY)
    site.service.answer(202, {"operationId": "4.x", "status": "assigning"})
    assert [type(packet) for packet in board.received()] == [Puback]


async def test_another_registration_in_the_document_is_not_passed_on(site: DpsSite) -> None:
    board = site.board()
    board.publish(REGISTER, b'{"registrationId":"reg-02"}')
    assert told(board)[0].startswith("$dps/registrations/res/400/")
    assert site.service.asked == []


async def test_who_was_refused_may_say_goodbye_and_nothing_else(site: DpsSite) -> None:
    board = site.board()
    board.publish(REGISTER, BODY)
    site.service.answer(401, {"errorCode": 401002})
    assert told(board) == ("$dps/registrations/res/401/?$rid=7", {"errorCode": 401002})
    assert not board.is_closed()
    board.send(Unsubscribe(packet_id=2, filters=(RESULTS,)))  # as Node's SDK does before it tells its caller
    assert [type(packet) for packet in board.received()] == [Unsuback]
    board.publish(REGISTER, BODY, packet_id=3)
    assert board.is_closed()
    assert site.service.asked == []


async def test_who_was_refused_does_not_stay(site: DpsSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_dps, "GOODBYE_S", 0.0)
    board = site.board()
    board.publish(REGISTER, BODY)
    site.service.answer(401, {"errorCode": 401002})
    await until(board.is_closed)


async def test_nobody_visits_for_ever(site: DpsSite) -> None:
    site.room.visit_s = 0.0
    board = site.board()
    await until(board.is_closed)


async def test_visitors_are_bounded_and_those_who_leave_make_room(
    site: DpsSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt_dps, "MAX_VISITORS_PER_ADDRESS", 2)
    first, _ = site.board(), site.board()
    third = site.connect("reg-01", username=LOGIN.format(REG), token=site.sas())
    [connack] = third.received()
    assert isinstance(connack, Connack)
    assert connack.code == 3
    assert site.reasons(ProvisioningRefused) == [ProvisioningRefusal.TOO_MANY]
    first.lose()
    first.lose()
    site.board()


async def test_one_that_registers_takes_nobodys_place(site: DpsSite) -> None:
    """It has proven nothing yet."""
    first, second = site.board(), site.board()
    assert not first.is_closed()
    assert not second.is_closed()


async def test_an_answer_for_who_has_gone_is_nobodys(site: DpsSite) -> None:
    board = site.board()
    board.publish(REGISTER, BODY)
    board.lose()
    site.service.answer(200, ASSIGNED)


async def test_who_takes_small_packets_gets_what_it_needs_to_connect(site: DpsSite) -> None:
    board = site.board(level=5, maximum_packet_size=400)
    large = ASSIGNED | {"registrationState": STATE | {"payload": "x" * 1_000}}
    board.publish(POLL, b" ")
    site.service.answer(200, large)
    assert told(board)[1]["registrationState"] == STATE | {"gatewayHostName": "pi.local"}
    board.publish(POLL, b" ", packet_id=2)
    site.service.answer(400, {"errorCode": 400004, "message": "x" * 1_000})
    assert told(board)[0].startswith("$dps/registrations/res/413/")


async def test_a_small_board_has_its_own_limit(site: DpsSite) -> None:
    site.head.limits = ServerLimits(max_sent_packet_bytes=400)
    board = site.board()
    board.publish(POLL, b" ")
    site.service.answer(200, ASSIGNED | {"registrationState": STATE | {"payload": "x" * 1_000}})
    assert "payload" not in told(board)[1]["registrationState"]


async def test_a_goodbye_and_a_broken_protocol_end_it(site: DpsSite) -> None:
    board = site.board()
    board.send(Disconnect())
    assert board.is_closed()
    broken = site.board()
    broken.pump.receive(b"\x00\x00")
    assert broken.is_closed()


async def test_a_gateway_that_stops_says_so(site: DpsSite) -> None:
    board = site.board(level=5)
    board.pump.stop()
    [goodbye] = board.received()
    assert isinstance(goodbye, Disconnect)
    assert goodbye.reason == ReasonCode.SERVER_SHUTTING_DOWN


async def test_what_comes_behind_a_connect_is_read_by_the_new_owner(site: DpsSite) -> None:
    board = site.dial(level=5)
    board.send(
        Connect(
            client_id="reg-01",
            level=5,
            clean_start=True,
            keep_alive_s=60,
            username=LOGIN.format(REG),
            password=site.sas(),
            properties=ConnectProperties(),
        ),
        Subscribe(packet_id=1, filters=(SubscribeFilter(filter=RESULTS, qos=1),)),
    )
    board.pump.wake(asyncio.get_running_loop().time())
    assert [type(packet) for packet in board.received()] == [Connack, Suback]
