import asyncio
import errno
import os
import select
import socket
from contextlib import suppress

import pytest
import uvloop

from edgewire.transport import listener as listener_module
from edgewire.transport.limits import TransportLimits
from edgewire.transport.listener import Listener, ListenError, listen
from edgewire.transport.reports import AcceptFailed, TurnedAway, TurnedAwayReason
from edgewire.transport.tls import Security
from support.certificates import self_signed
from support.echo import PATIENCE_S, EchoServer, echo_server
from support.tls_client import client_context

SERVER = self_signed("gateway")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(server: EchoServer, source: str = "127.0.0.1") -> Streams:
    return await asyncio.open_connection("127.0.0.1", server.port, local_addr=(source, 0))


async def echoes(streams: Streams) -> bool:
    """Does the connection serve?"""
    reader, writer = streams
    writer.write(b"?")
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            return await reader.read(1) == b"?"
    return False


async def ended(streams: Streams) -> bool:
    """Has the server ended the connection? Waits for it."""
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE_S):
            return await streams[0].read() == b""
    return True


def let_go(*connections: Streams) -> None:
    for _, writer in connections:
        writer.transport.abort()


async def listen_on(address: str, port: int) -> Listener:
    server = EchoServer()
    return await listen(
        address, port, serve=server.accept, security=None, report=server.reports.append, on_crash=server.crashed
    )


# Where it listens.


@pytest.mark.parametrize(
    ("address", "target", "seen"),
    [
        ("127.0.0.3", "127.0.0.3", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.4", "127.0.0.1"),
        ("::1", "::1", "::1"),
        ("::", "::1", "::1"),
        ("::", "127.0.0.1", "127.0.0.1"),
    ],
)
async def test_it_listens_on_addresses_of_both_versions(address: str, target: str, seen: str) -> None:
    async with echo_server(address=address) as server:
        assert server.port > 0
        source = ("127.0.0.1", 0) if "." in target else None
        streams = await asyncio.open_connection(target, server.port, local_addr=source)
        assert await echoes(streams)
        assert server.owners[0].peer is not None
        assert server.owners[0].peer.address == seen
        let_go(streams)


async def test_a_port_in_use_says_how_to_find_who_has_it() -> None:
    async with echo_server() as server:
        with pytest.raises(ListenError) as caught:
            await listen_on("127.0.0.1", server.port)
        sentence = str(caught.value)
        assert sentence.startswith(f"cannot listen on 127.0.0.1 port {server.port}: another program has the port.")
        assert f"ss -ltnp sport = :{server.port}" in sentence


async def test_a_port_can_be_listened_on_again_at_once() -> None:
    address = "127.0.0.5"  # where nobody else takes the port meanwhile
    async with echo_server(address=address) as server:
        streams = await asyncio.open_connection(address, server.port, local_addr=(address, 0))
        assert await echoes(streams)
        port = server.port
        server.owners[0].pump.close()  # we close first, so that our end stays in TIME_WAIT
        assert await ended(streams)
        let_go(streams)
        await server.owners[0].closed.wait()
    again = await listen_on(address, port)
    assert again.port == port
    await again.close(1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errno.EACCES, "ports below 1024 need a privilege"),
        (errno.EADDRNOTAVAIL, "this machine does not have the address"),
        (errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT)),
    ],
)
async def test_what_the_system_refuses_says_what_to_do(monkeypatch: pytest.MonkeyPatch, error: int, words: str) -> None:
    class RefusingSocket(socket.socket):
        def bind(self, _address: object) -> None:
            raise OSError(error, os.strerror(error))

    monkeypatch.setattr(socket, "socket", RefusingSocket)
    with pytest.raises(ListenError) as caught:
        await listen_on("127.0.0.1", 883)
    assert str(caught.value).startswith(f"cannot listen on 127.0.0.1 port 883: {words}")


async def test_a_foreign_address_is_refused_by_the_system_itself() -> None:
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1 port 0: this machine does not have"):
        await listen_on("192.0.2.1", 0)


@pytest.mark.parametrize("address", ["localhost", "", "127.0.0.256", "*"])
async def test_a_name_is_no_address_and_the_sentence_offers_one(address: str) -> None:
    with pytest.raises(ListenError, match=r"is not an IP address.*0\.0\.0\.0"):
        await listen_on(address, 0)


# How many.


async def test_connections_over_the_limit_are_closed_at_once_and_reported() -> None:
    async with echo_server(limits=TransportLimits(max_connections=2)) as server:
        kept = [await connect(server), await connect(server)]
        assert [await echoes(streams) for streams in kept] == [True, True]
        excess = await connect(server)
        assert await ended(excess)
        assert server.reports == [TurnedAway("127.0.0.1", TurnedAwayReason.TOO_MANY_CONNECTIONS)]
        let_go(kept[0])
        await server.owners[0].closed.wait()
        late = await connect(server)
        assert await echoes(late)
        let_go(*kept, excess, late)


def handshake_limits(most: int) -> TransportLimits:
    return TransportLimits(max_handshakes_per_address=most)


async def test_one_address_cannot_have_more_handshakes_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "DISPLACEABLE_AFTER_S", 3_600.0)  # all of them are young
    security = Security(SERVER.pem, SERVER.key_pem)
    async with echo_server(security=security, limits=handshake_limits(2)) as server:
        silent = [await connect(server) for _ in range(2)]
        excess = await connect(server)
        assert await ended(excess)
        assert server.reports == [TurnedAway("127.0.0.1", TurnedAwayReason.TOO_MANY_HANDSHAKES)]
        elsewhere = await connect(server, "127.0.0.2")
        await server.until(lambda: server.listener.connections == 3)
        let_go(*silent, excess, elsewhere)


async def test_connections_past_their_handshake_do_not_count_for_it() -> None:
    security = Security(SERVER.pem, SERVER.key_pem)
    async with echo_server(security=security, limits=handshake_limits(1)) as server:
        connections = []
        for _ in range(3):
            connections.append(
                await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(), server_hostname="gateway")
            )
            assert await echoes(connections[-1])
        assert server.reports == []
        let_go(*connections)


async def test_a_silent_connection_gives_way_to_a_newer_one_of_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "DISPLACEABLE_AFTER_S", 0.0)
    security = Security(SERVER.pem, SERVER.key_pem)
    async with echo_server(security=security, limits=handshake_limits(2)) as server:
        silent = [await connect(server) for _ in range(2)]
        await server.until(lambda: server.listener.connections == 2)
        good = await asyncio.open_connection("127.0.0.1", server.port, ssl=client_context(), server_hostname="gateway")
        assert await echoes(good)
        assert await ended(silent[0])
        assert server.reports == [TurnedAway("127.0.0.1", TurnedAwayReason.DISPLACED)]
        let_go(*silent, good)


async def test_two_hundred_connections_at_once_are_all_served() -> None:
    async with echo_server() as server:
        connections = await asyncio.gather(*(connect(server) for _ in range(200)))
        assert all(await asyncio.gather(*(echoes(streams) for streams in connections)))
        assert server.listener.connections == 200
        let_go(*connections)


# Out of descriptors.


class FailingSocket:
    """A listening socket whose accept fails a number of times first."""

    def __init__(self, real: socket.socket, errors: list[int]) -> None:
        self._real = real
        self._errors = errors

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self._errors:
            error = self._errors.pop(0)
            raise OSError(error, os.strerror(error))
        return self._real.accept()


def fail_accept(server: EchoServer, monkeypatch: pytest.MonkeyPatch, errors: list[int]) -> None:
    monkeypatch.setattr(server.listener, "_listening", FailingSocket(server.listener._listening, errors))


async def test_out_of_descriptors_is_reported_and_served_after_a_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "ACCEPT_RETRY_S", 0.05)
    async with echo_server() as server:
        fail_accept(server, monkeypatch, [errno.EMFILE, errno.ENFILE])
        streams = await connect(server)
        assert await echoes(streams)
        assert [type(report) for report in server.reports] == [AcceptFailed, AcceptFailed]
        assert os.strerror(errno.EMFILE) in str(server.reports[0])
        let_go(streams)


async def test_a_peer_that_left_the_queue_does_not_hold_up_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo_server() as server:
        fail_accept(server, monkeypatch, [errno.ECONNABORTED])
        streams = await connect(server)
        assert await echoes(streams)
        assert server.reports == []
        let_go(streams)


async def test_closing_during_the_rest_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    async with echo_server() as server:
        fail_accept(server, monkeypatch, [errno.EMFILE])
        streams = await connect(server)
        await server.until(lambda: bool(server.reports))
        await server.listener.close(1)
        let_go(streams)


async def test_a_peer_that_resets_before_it_is_attached_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(*_args: object) -> None:
        raise OSError(errno.ENOTCONN, "gone")

    async with echo_server() as server:
        monkeypatch.setattr(server.listener.loop, "connect_accepted_socket", refuse)
        streams = await connect(server)
        assert await ended(streams)
        await server.until(lambda: server.listener.connections == 0)
        let_go(streams)


async def test_a_fault_in_attaching_costs_that_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_args: object) -> None:
        raise RuntimeError("a bug in the loop")

    async with echo_server(clean=False) as server:
        with monkeypatch.context() as patch:
            patch.setattr(server.listener.loop, "connect_accepted_socket", fail)
            victim = await connect(server)
            assert await ended(victim)
        good = await connect(server)
        assert await echoes(good)
        assert [str(crash) for crash in server.crashes] == ["a bug in the loop"]
        let_go(victim, good)


# The end.


async def test_after_stop_accepting_nobody_gets_in_and_the_connected_go_on() -> None:
    async with echo_server() as server:
        streams = await connect(server)
        assert await echoes(streams)
        server.listener.stop_accepting()
        server.listener.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            await connect(server)
        assert await echoes(streams)
        let_go(streams)


async def test_closing_lets_owners_say_goodbye() -> None:
    async with echo_server() as server:
        streams = await connect(server)
        assert await echoes(streams)
        server.doing["stopping"] = lambda: server.sessions[0].output.extend(b"goodbye")

        async def leave() -> bytes:
            rest = await streams[0].read()
            streams[1].close()
            return rest

        leaving = asyncio.ensure_future(leave())
        await server.listener.close(PATIENCE_S)
        assert await leaving == b"goodbye"
        assert server.owners[0].calls == ["connected", "events", "stopping", "closed"]


async def test_closing_cuts_who_is_left_at_the_deadline() -> None:
    limits = TransportLimits(close_timeout_s=60)
    async with echo_server(limits=limits) as server:
        streams = await connect(server)
        assert await echoes(streams)
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        await server.listener.close(0.05)
        assert loop.time() - started_at < limits.close_timeout_s / 2
        assert server.owners[0].calls[-1] == "closed"
        let_go(streams)


async def test_closing_cuts_handshakes_at_once() -> None:
    async with echo_server(security=Security(SERVER.pem, SERVER.key_pem)) as server:
        streams = await connect(server)
        await server.until(lambda: server.listener.connections == 1)
        await server.listener.close(PATIENCE_S)
        assert await ended(streams)
        let_go(streams)


async def test_closing_right_after_listening_is_fine() -> None:
    await (await listen_on("127.0.0.1", 0)).close(1)


async def test_closing_while_a_socket_is_being_attached_leaves_nothing() -> None:
    async with echo_server() as server:
        with socket.create_connection(("127.0.0.1", server.port)):
            select.select([server.listener._listening], [], [], PATIENCE_S)  # the kernel has it in its queue
            server.listener._on_acceptable()
            assert server.listener.connections == 1
            await server.listener.close(PATIENCE_S)
            assert server.owners == []


def test_uvloop_listens_alike() -> None:
    async def day() -> None:
        async with echo_server(address="::", limits=TransportLimits(max_connections=20)) as server:
            connections = await asyncio.gather(*(connect(server) for _ in range(25)))
            served = await asyncio.gather(*(echoes(streams) for streams in connections))
            assert sum(served) == 20
            server.listener.stop_accepting()
            let_go(*connections)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(day())


async def test_a_listener_knows_whether_the_kernel_still_takes_connections_for_it() -> None:
    server = await listen_on("127.0.0.1", 0)
    states = [server.is_listening]
    server._listening.shutdown(socket.SHUT_RDWR)  # what nobody should do, and what a watchdog is for
    states.append(server.is_listening)
    server.stop_accepting()
    assert [*states, server.is_listening] == [True, False, False]
