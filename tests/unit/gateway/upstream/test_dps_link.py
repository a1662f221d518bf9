import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edgewire.iothub.dps import Poll, Register, Registrant, Request
from edgewire.transport.dialer import DialError, DialFault
from edgewire.transport.pump import Accept, Peer, Pump
from gateway.dispatch.provisioning import Question
from gateway.dispatch.provisioning_answers import Answer
from gateway.observe.events import Event
from gateway.observe.provisioning import ProvisioningAway, ProvisioningBack
from gateway.upstream.dps_link import DpsLink
from support.mqtt_site import MemoryWire

REG = Registrant("0ne00ABCDEF", "reg-01")
PEER = Peer(address="127.0.0.7", port=443)
ANSWER = b"HTTP/1.1 202 Accepted\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\n{}"


class Service:
    """A server in memory: what it was asked, and what it says when."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.pumps: list[tuple[Pump[object], MemoryWire]] = []
        self.unreachable = False
        self.dialed = asyncio.Event()
        self.link = DpsLink("dps.test", self.dial, place="dps.test", emit=self.events.append, answer_s=10, rest_s=0)

    async def dial(self, accept: Accept) -> None:
        if self.unreachable:
            raise DialError(DialFault.UNREACHABLE, "cannot reach dps.test:443: no route")
        session, owner = accept(PEER)
        wire = MemoryWire()
        pump: Pump[object] = Pump(wire, session, owner, peer=PEER, clock=asyncio.get_running_loop().time)
        pump.begin()
        self.pumps.append((pump, wire))
        self.dialed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.link.run())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    def ask(self, request: Request, body: bytes = b"") -> "asyncio.Future[Answer | None]":
        answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.link.ask(Question(registrant=REG, token="the token", request=request, body=body), answered.set_result)
        return answered

    async def asked(self) -> tuple[Pump[object], MemoryWire]:
        async with asyncio.timeout(10):
            await self.dialed.wait()
        self.dialed.clear()
        return self.pumps.pop()

    async def say(self, request: Request, data: bytes, *, lost: bool = False) -> Answer | None:
        """What a question comes to, when the service says this."""
        answered = self.ask(request)
        pump, _ = await self.asked()
        pump.receive(data)
        if lost:
            pump.lost()
        return await asyncio.wait_for(answered, 10)


async def test_a_question_is_a_call_with_the_devices_own_token() -> None:
    service = Service()
    async with service.running():
        answered = service.ask(Register(), b'{"registrationId":"reg-01"}')
        pump, wire = await service.asked()
        head, _, body = bytes(wire.written).partition(b"\r\n\r\n")
        pump.receive(ANSWER)
        assert await asyncio.wait_for(answered, 10) == Answer(202, b"{}", 3)
        assert wire.closed
    lines = head.decode().split("\r\n")
    assert lines[0] == "PUT /0ne00ABCDEF/registrations/reg-01/register?api-version=2019-03-31 HTTP/1.1"
    assert {"Host: dps.test", "Authorization: the token", "Content-Type: application/json; charset=utf-8"} <= set(lines)
    assert body == b'{"registrationId":"reg-01"}'


async def test_a_poll_has_no_body() -> None:
    service = Service()
    async with service.running():
        answered = service.ask(Poll("4.x"))
        pump, wire = await service.asked()
        assert wire.written.startswith(b"GET /0ne00ABCDEF/registrations/reg-01/operations/4.x?api-version=2019-03-31 ")
        assert b"Content-Type" not in wire.written
        pump.receive(ANSWER)
        await asyncio.wait_for(answered, 10)


@pytest.mark.parametrize(
    ("said", "wait_s"), [(b"3", 3), (b"999999", 3_600), (b"", None), (b"-1", None), (b"soon", None), (b"9" * 40, None)]
)
async def test_when_to_ask_again_is_a_number_of_seconds_or_nothing(said: bytes, wait_s: int | None) -> None:
    service = Service()
    async with service.running():
        answer = await service.say(Register(), ANSWER.replace(b"3\r\n", said + b"\r\n", 1))
    assert answer is not None
    assert answer.retry_after_s == wait_s


async def test_an_answer_may_end_with_the_connection() -> None:
    service = Service()
    async with service.running():
        assert await service.say(Register(), b"HTTP/1.1 200 OK\r\n\r\n{}", lost=True) == Answer(200, b"{}")


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{", b"SSH-2.0\r\n\r\n"])
async def test_half_an_answer_is_none(data: bytes) -> None:
    service = Service()
    async with service.running():
        assert await service.say(Register(), data, lost=True) is None
    assert [type(event) for event in service.events] == [ProvisioningAway]


async def test_an_outage_is_told_once_and_its_end_too() -> None:
    service = Service()
    async with service.running():
        service.unreachable = True
        for _ in range(3):
            assert await asyncio.wait_for(service.ask(Register()), 10) is None
        service.unreachable = False
        for _ in range(2):
            assert await service.say(Register(), ANSWER) is not None
    assert service.events == [
        ProvisioningAway("dps.test", "cannot reach dps.test:443: no route"),
        ProvisioningBack("dps.test"),
    ]


async def test_who_does_not_answer_is_given_up() -> None:
    service = Service()
    service.link = DpsLink(
        "dps.test", service.dial, place="dps.test", emit=service.events.append, answer_s=0.01, rest_s=60
    )
    async with service.running():
        answered = service.ask(Register())
        _, wire = await service.asked()
        assert await asyncio.wait_for(answered, 10) is None
        assert wire.closed
        # It rests then: nobody is dialed for the next.
        assert await asyncio.wait_for(service.ask(Register()), 10) is None
    assert not service.dialed.is_set()


async def test_before_it_runs_and_after_nobody_is_asked() -> None:
    service = Service()
    assert await asyncio.wait_for(service.ask(Register()), 10) is None
    async with service.running():
        pass
    assert await asyncio.wait_for(service.ask(Register()), 10) is None
    assert service.pumps == []


async def test_a_stop_leaves_nobody_on_the_line() -> None:
    service = Service()
    async with service.running():
        answered = service.ask(Register())
        pump, wire = await service.asked()
    assert wire.closed
    assert not answered.done()
    pump.lost()
