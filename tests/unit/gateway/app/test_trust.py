from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.app.followed_files import LOOK_EVERY_S
from gateway.app.settings import ConfigError
from gateway.app.trust import WORKLOAD_EVERY_S, Trust, TrustFile, WorkloadTrust
from gateway.identity.certificates import CertificateError, ChainProblem, TrustBundle
from gateway.identity.workload import Workload
from gateway.observe.app import CertificateUnusable, TrustBundleReloaded
from gateway.observe.events import Event
from support.certificates import Credential, authority, signed
from support.whole_file import put


def believed(trust: Trust, device: Credential) -> bool:
    now = device.certificate.not_valid_before_utc.timestamp() + 60
    return trust.bundle.problem_with([device.der], now) is None


async def test_a_changed_file_is_believed_from_the_next_look_on(tmp_path: Path) -> None:
    events: list[Event] = []
    old, new = authority("old"), authority("new")
    (tmp_path / "roots.pem").write_bytes(old.anchor_pem)
    trust = await Trust.open(TrustFile(tmp_path / "roots.pem"), events.append)
    assert not await trust.look_again()
    assert believed(trust, signed("d1", old))

    (tmp_path / "roots.pem").write_bytes(new.anchor_pem)

    assert await trust.look_again()
    assert not await trust.look_again()
    assert [believed(trust, signed("d1", root)) for root in (old, new)] == [False, True]
    assert [event.sentence().startswith(str(tmp_path / "roots.pem")) for event in events] == [True]


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_text("no pem")])
async def test_a_file_that_is_of_no_use_any_more_is_said_once_and_the_old_stays(
    tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    events: list[Event] = []
    root, path = authority("root"), tmp_path / "roots.pem"
    path.write_bytes(root.anchor_pem)
    trust = await Trust.open(TrustFile(path), events.append)
    spoil(path)
    assert [await trust.look_again(), await trust.look_again()] == [False, False]
    assert [type(event) for event in events] == [CertificateUnusable]
    assert "stay in force" in events[0].sentence()
    assert believed(trust, signed("d1", root))

    path.write_bytes(root.anchor_pem)  # mended to what is in force: nothing to say
    assert not await trust.look_again()
    path.write_bytes(root.anchor_pem * 2)
    assert await trust.look_again()
    assert [type(event) for event in events] == [CertificateUnusable, TrustBundleReloaded]


async def test_a_file_that_cannot_be_used_at_the_start_stops_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        await Trust.open(TrustFile(tmp_path / "none.pem"), lambda _: None)
    (tmp_path / "bad.pem").write_text("no pem")
    with pytest.raises(CertificateError):
        await Trust.open(TrustFile(tmp_path / "bad.pem"), lambda _: None)


async def test_a_workload_api_that_is_away_changes_nothing(tmp_path: Path) -> None:
    root, events = authority("root"), list[Event]()
    workload = Workload(uri=f"unix://{tmp_path}/none.sock", api_version="1", module="m", generation="g")
    trust = Trust(WorkloadTrust(workload), root.anchor_pem, events.append)
    assert not await trust.look_again()
    assert events == []
    assert trust.bundle.problem_with([], 0) is ChainProblem.UNTRUSTED
    assert believed(trust, signed("d1", root))


async def test_whoever_keeps_a_trust_bundle_is_told_of_each_new_one(tmp_path: Path) -> None:
    path, told = tmp_path / "roots.pem", list[TrustBundle]()
    path.write_bytes(authority("old").anchor_pem)

    class Hasty(TrustFile):
        every_s = 0.0

    class EnoughError(Exception):
        pass

    def believe(bundle: TrustBundle) -> None:
        told.append(bundle)
        raise EnoughError

    trust = await Trust.open(Hasty(path), lambda _: None)
    put(path, authority("new").anchor_pem)
    with pytest.raises(EnoughError):
        await trust.keep(believe)
    assert told == [trust.bundle]
    assert LOOK_EVERY_S < WORKLOAD_EVERY_S
