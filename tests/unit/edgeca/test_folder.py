from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from edgeca import files
from edgeca.authority import Authority
from edgeca.credential import read_certificates
from edgeca.errors import CaError, Refused
from edgeca.folder import Folder, Made, Wish
from edgeca.keys import KeyType, describe
from edgeca.profiles import Kind
from support.ca_clock import CaClock


def snapshot(folder: Folder) -> dict[str, tuple[bytes, int]]:
    paths = [path for path in sorted(folder.directory.rglob("*")) if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


WISHES: dict[str, Callable[[Folder, Wish], Made]] = {
    "edge-ca": lambda folder, wish: folder.edge_ca("pi", wish),
    "edge-id": lambda folder, wish: folder.edge_id("pi", wish),
    "device": lambda folder, wish: folder.device("board-1", wish),
    "self-signed": lambda folder, wish: folder.self_signed("board-1", wish)[1],
    "server": lambda folder, wish: folder.server(["gateway.local", "10.0.0.5"], wish),
    "proof": lambda folder, wish: folder.proof("A1B2C3", wish),
    "init": lambda folder, wish: folder.init(None, wish)[0],
}
ALL = pytest.mark.parametrize("kind", list(WISHES))


@ALL
def test_the_same_wish_changes_nothing_and_says_so(folder: Folder, kind: str) -> None:
    first = WISHES[kind](folder, Wish())
    before = snapshot(folder)
    again = WISHES[kind](folder, Wish())
    assert not again.changed
    assert again.credential.certificate == first.credential.certificate
    assert snapshot(folder) == before


@ALL
def test_another_number_of_days_is_refused_without_force(folder: Folder, kind: str) -> None:
    WISHES[kind](folder, Wish())
    before = snapshot(folder)
    with pytest.raises(Refused, match=r"was made for \d+ days, not for 7.*--force"):
        WISHES[kind](folder, Wish(days=7))
    assert snapshot(folder) == before


@ALL
def test_force_makes_a_new_one_and_keeps_the_old_one(folder: Folder, kind: str) -> None:
    old = WISHES[kind](folder, Wish())
    new = WISHES[kind](folder, Wish(days=7, force=True))
    assert new.changed
    assert new.retired is not None
    assert (new.retired / old.entry.key_path.name).read_bytes() == old.credential.key_pem
    assert not WISHES[kind](folder, Wish(days=7)).changed


@ALL
def test_one_that_has_ended_is_no_longer_what_is_wished(folder: Folder, clock: CaClock, kind: str) -> None:
    WISHES[kind](folder, Wish(days=7, force=True))
    clock.now += timedelta(days=6, hours=23)
    assert not WISHES[kind](folder, Wish()).changed
    clock.now += timedelta(hours=1)
    with pytest.raises(Refused, match="it ended on 2026-11-28"):
        WISHES[kind](folder, Wish())


@pytest.mark.parametrize("kind", [kind for kind in WISHES if kind != "proof"])
def test_another_kind_of_key_is_refused_without_force(folder: Folder, kind: str) -> None:
    WISHES[kind](folder, Wish())
    with pytest.raises(Refused, match="its key is EC P-256, not RSA 2048"):
        WISHES[kind](folder, Wish(key_type=KeyType.RSA_2048))
    made = WISHES[kind](folder, Wish(key_type=KeyType.RSA_2048, force=True))
    assert describe(made.credential.key) == "RSA 2048"
    assert not WISHES[kind](folder, Wish()).changed, "a wish that names no key takes any"


def test_other_names_are_refused_without_force(folder: Folder) -> None:
    folder.server(["gateway.local"])
    with pytest.raises(
        Refused, match=r"its names are gateway\.local, gateway, not gateway\.local, gateway, 10\.0\.0\.5"
    ):
        folder.server(["gateway.local", "10.0.0.5"])
    assert folder.server(["gateway.local", "10.0.0.5"], Wish(force=True)).changed
    assert not folder.server(["gateway.local", "10.0.0.5", "gateway"]).changed, "the order of names says nothing"


def test_init_makes_root_issuing_ca_and_trust_bundle(folder: Folder) -> None:
    authority = folder.authority()
    bundle = (folder.directory / "trust-bundle.pem").read_bytes()
    assert read_certificates(bundle, "bundle") == (authority.root.certificate,)
    assert authority.issuing.issuers == (authority.root.certificate,)


def test_another_name_for_the_ca_is_refused_without_force(folder: Folder) -> None:
    with pytest.raises(Refused, match="its name is 'Edge test', not 'Plant 4'"):
        folder.init("Plant 4")
    folder.init("Plant 4", Wish(force=True))
    assert folder.authority().name == "Plant 4"
    assert not folder.init("Plant 4")[0].changed


def test_what_an_earlier_ca_signed_is_refused_until_it_is_made_anew(folder: Folder) -> None:
    folder.device("board-1")
    folder.init(None, Wish(force=True))
    with pytest.raises(Refused, match="was signed by 'Edge test issuing CA"):
        folder.device("board-1")
    assert folder.device("board-1", Wish(force=True)).changed


def test_init_leaves_everything_else_in_the_folder_alone(folder: Folder) -> None:
    made = folder.server(["gateway.local"])
    (folder.directory / "notes.txt").write_text("mine")
    folder.init(None, Wish(force=True))
    assert files.load(made.entry).certificate == made.credential.certificate
    assert (folder.directory / "notes.txt").read_text() == "mine"


def test_a_run_cut_off_between_issuing_ca_and_root_is_simply_repeated(folder: Folder) -> None:
    for name in ("root.cert.pem", "root.key.pem", "trust-bundle.pem"):
        (folder.directory / name).unlink()
    made, _ = folder.init()
    assert made.changed
    assert folder.server(["gateway.local"]).changed


def test_a_root_and_an_issuing_ca_that_do_not_belong_together_are_noticed(folder: Folder) -> None:
    files.save(files.Entry(directory=folder.directory, kind=Kind.ISSUING), Authority.create().issuing)
    with pytest.raises(CaError, match="was not signed by"):
        folder.server(["gateway.local"])


def test_without_a_ca_the_way_to_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="edgeca init --dir"):
        Folder(tmp_path / "none").server(["gateway.local"])
    assert not (tmp_path / "none").exists()


def test_a_self_signed_pair_needs_no_ca_and_has_two_keys(tmp_path: Path) -> None:
    primary, secondary = Folder(tmp_path / "new").self_signed("board-1")
    assert primary.entry.name == "board-1.primary"
    assert secondary.entry.name == "board-1.secondary"
    assert primary.credential.key_pem != secondary.credential.key_pem


def test_a_refused_name_leaves_no_trace(folder: Folder) -> None:
    before = snapshot(folder)
    for attempt in (
        lambda: folder.server(["http://x"]),
        lambda: folder.device("a b"),
        lambda: folder.edge_ca("a/b"),
        lambda: folder.self_signed("a b"),
    ):
        with pytest.raises(CaError):
            attempt()
    assert snapshot(folder) == before


def test_the_bundle_takes_in_other_cas_once_each(folder: Folder, tmp_path: Path) -> None:
    other = Authority.create("Other")
    path = tmp_path / "other.pem"
    path.write_bytes(other.trust_bundle_pem)
    bundle, changed = folder.bundle([path, path])
    assert changed
    assert read_certificates(bundle.read_bytes(), "bundle") == (
        folder.authority().root.certificate,
        other.root.certificate,
    )
    assert folder.bundle([path]) == (bundle, False)


def test_a_bundle_of_something_unreadable_names_it(folder: Folder, tmp_path: Path) -> None:
    with pytest.raises(CaError, match=r"cannot read .*none\.pem"):
        folder.bundle([tmp_path / "none.pem"])


def test_fifty_servers_in_one_folder_keep_apart(folder: Folder) -> None:
    made = [folder.server([f"s{number}.example"]) for number in range(50)]
    assert len({each.credential.certificate.serial_number for each in made}) == 50
    assert all(not folder.server([each.entry.name]).changed for each in made)
