import pytest

from edgewire.errors import ProtocolError
from edgewire.transport.pump import Peer, Pump
from support.echo import EchoSession, RecordingOwner

NOW = 100.0


class MemoryWire:
    """Writes down what the pump asks of its connection."""

    def __init__(self) -> None:
        self.buffered = 0
        self.writes: list[bytes] = []
        self.calls: list[str] = []
        self.crashes: list[Exception] = []
        self.wakes: list[float] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")

    def crash(self, error: Exception) -> None:
        self.crashes.append(error)

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def wake_at(self, when: float) -> None:
        self.wakes.append(when)


@pytest.fixture
def wire() -> MemoryWire:
    return MemoryWire()


@pytest.fixture
def session() -> EchoSession:
    return EchoSession()


@pytest.fixture
def owner() -> RecordingOwner:
    return RecordingOwner()


@pytest.fixture
def pump(wire: MemoryWire, session: EchoSession, owner: RecordingOwner) -> Pump[bytes]:
    pump: Pump[bytes] = Pump(wire, session, owner, peer=Peer(address="127.0.0.1", port=1), clock=lambda: NOW)
    pump.begin()
    return pump


def test_a_read_is_answered_by_one_write_after_its_owner_has_heard(
    pump: Pump[bytes], wire: MemoryWire, owner: RecordingOwner, session: EchoSession
) -> None:
    owner.doing["events"] = lambda: session.output.extend(b" and more")
    pump.receive(b"hello")
    assert owner.events == [b"hello"]
    assert wire.writes == [b"hello and more"]


def test_nothing_is_written_when_the_session_has_nothing_to_say(pump: Pump[bytes], wire: MemoryWire) -> None:
    pump.flush()
    assert wire.writes == []


def test_what_is_answered_later_goes_out_by_flush(pump: Pump[bytes], wire: MemoryWire, session: EchoSession) -> None:
    session.output += b"acknowledged"
    pump.flush()
    assert wire.writes == [b"acknowledged"]


def test_a_deadline_that_comes_nearer_is_passed_on_after_each_read_and_flush(
    pump: Pump[bytes], wire: MemoryWire, session: EchoSession
) -> None:
    session.wake_at = NOW + 5
    pump.receive(b"x")
    session.wake_at = NOW + 3
    pump.flush()
    assert wire.wakes == [NOW + 5, NOW + 3]


def test_a_deadline_that_moves_back_is_looked_at_when_it_would_have_come(
    pump: Pump[bytes], wire: MemoryWire, session: EchoSession, owner: RecordingOwner
) -> None:
    session.wake_at = NOW + 5
    pump.receive(b"x")
    session.wake_at = NOW + 8
    pump.receive(b"y")
    assert wire.wakes == [NOW + 5]
    pump.wake(NOW + 5)
    assert wire.wakes == [NOW + 5, NOW + 8]
    assert owner.events == [b"x", b"y"]


def test_a_deadline_that_is_none_again_wakes_nobody(
    pump: Pump[bytes], wire: MemoryWire, session: EchoSession, owner: RecordingOwner
) -> None:
    session.wake_at = NOW + 5
    pump.flush()
    session.wake_at = None
    pump.flush()
    pump.wake(NOW + 5)
    assert wire.wakes == [NOW + 5]
    assert owner.events == []


def test_a_deadline_that_has_passed_is_passed_on_again_if_the_session_still_wants_it(
    pump: Pump[bytes], wire: MemoryWire, session: EchoSession, owner: RecordingOwner
) -> None:
    def again() -> None:
        session.wake_at = NOW + 5

    owner.doing["events"] = again
    session.wake_at = NOW + 5
    pump.flush()
    pump.wake(NOW + 5)
    assert wire.wakes == [NOW + 5, NOW + 5]


def test_what_happened_at_a_deadline_reaches_the_owner(
    pump: Pump[bytes], session: EchoSession, owner: RecordingOwner
) -> None:
    session.wake_at = NOW
    pump.wake(NOW)
    assert owner.events == [b"deadline"]


def test_the_fault_of_a_peer_is_answered_told_and_closed_in_this_order(
    wire: MemoryWire, session: EchoSession, owner: RecordingOwner, pump: Pump[bytes]
) -> None:
    owner.doing["failed"] = lambda: wire.calls.append(f"failed after {wire.writes}")
    pump.receive(b"BAD")
    assert wire.calls == ["failed after [b'farewell']", "close"]
    assert wire.crashes == []


def test_a_fault_of_the_peer_found_by_the_owner_is_treated_alike(
    pump: Pump[bytes], wire: MemoryWire, owner: RecordingOwner
) -> None:
    def refuse() -> None:
        raise ProtocolError("not yours")

    owner.doing["events"] = refuse
    pump.receive(b"x")
    assert owner.calls == ["connected", "events", "failed"]
    assert wire.calls == ["close"]


def _raise() -> None:
    raise RuntimeError("a bug in the owner")


@pytest.mark.parametrize("call", ["events", "failed", "paused", "resumed", "stopping", "closed"])
def test_a_fault_of_the_owner_cuts_its_connection_and_is_reported(
    pump: Pump[bytes], wire: MemoryWire, owner: RecordingOwner, call: str
) -> None:
    owner.doing[call] = _raise
    pump.sending_paused()
    pump.sending_resumed()
    pump.receive(b"BAD" if call == "failed" else b"x")
    pump.stop()
    pump.lost()
    assert [str(crash) for crash in wire.crashes] == ["a bug in the owner"]
    assert owner.calls.count("closed") == 1


def test_a_fault_of_the_session_cuts_its_connection_and_is_reported(
    pump: Pump[bytes], wire: MemoryWire, owner: RecordingOwner
) -> None:
    pump.receive(b"BUG")
    assert [str(crash) for crash in wire.crashes] == ["a bug in the session"]
    assert owner.calls == ["connected"]


def test_a_fault_in_a_flush_does_not_reach_whoever_called_it(
    pump: Pump[bytes], wire: MemoryWire, session: EchoSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> bytes:
        raise RuntimeError("a bug in take_output")

    monkeypatch.setattr(session, "take_output", broken)
    pump.flush()
    assert [str(crash) for crash in wire.crashes] == ["a bug in take_output"]


def test_a_fault_at_the_first_call_cuts_the_connection(wire: MemoryWire, session: EchoSession) -> None:
    owner = RecordingOwner(doing={"connected": _raise})
    Pump(wire, session, owner, peer=Peer(address="127.0.0.1", port=1), clock=lambda: NOW).begin()
    assert len(wire.crashes) == 1


def test_after_close_the_owner_hears_no_more_than_that_it_is_closed(
    pump: Pump[bytes], wire: MemoryWire, owner: RecordingOwner, session: EchoSession
) -> None:
    session.output += b"last"
    pump.close()
    pump.close()
    pump.receive(b"late")
    pump.wake(NOW)
    session.output += b"too late"
    pump.flush()
    pump.sending_paused()
    pump.lost()
    pump.lost()
    assert wire.writes == [b"last"]
    assert wire.calls == ["close"]
    assert owner.calls == ["connected", "closed"]


def test_an_owner_may_close_or_abort_from_within_its_calls(
    pump: Pump[bytes], wire: MemoryWire, owner: RecordingOwner
) -> None:
    owner.doing["events"] = pump.close
    pump.receive(b"x")
    assert (wire.writes, wire.calls) == ([b"x"], ["close"])


def test_after_abort_nothing_is_sent(pump: Pump[bytes], wire: MemoryWire, owner: RecordingOwner) -> None:
    owner.doing["events"] = pump.abort
    pump.receive(b"x")
    assert (wire.writes, wire.calls) == ([], ["abort"])


def test_reading_is_paused_and_resumed_on_the_wire(pump: Pump[bytes], wire: MemoryWire) -> None:
    pump.pause_reading()
    pump.resume_reading()
    assert wire.calls == ["pause", "resume"]


def test_what_waits_for_the_peer_is_told(pump: Pump[bytes], wire: MemoryWire) -> None:
    wire.buffered = 7
    assert pump.buffered == 7


def test_a_stopping_owner_may_say_goodbye(
    pump: Pump[bytes], wire: MemoryWire, owner: RecordingOwner, session: EchoSession
) -> None:
    owner.doing["stopping"] = lambda: session.output.extend(b"goodbye")
    pump.stop()
    assert (wire.writes, wire.calls) == ([b"goodbye"], ["close"])


class SilentOwner:
    """Only what every owner must hear."""

    def on_connected(self, pump: Pump[bytes]) -> None:
        pass

    def on_events(self, events: list[bytes]) -> None:
        pass

    def on_failed(self, error: ProtocolError) -> None:
        pass

    def on_closed(self) -> None:
        pass


def test_an_owner_need_not_watch_sending_and_stopping(wire: MemoryWire, session: EchoSession) -> None:
    pump: Pump[bytes] = Pump(wire, session, SilentOwner(), peer=Peer(address="127.0.0.1", port=1), clock=lambda: NOW)
    pump.begin()
    pump.sending_paused()
    pump.sending_resumed()
    pump.stop()
    assert (wire.calls, wire.crashes) == (["close"], [])
