import os
from pathlib import Path

import pytest

from gateway.firmware import files
from gateway.firmware import store as room
from gateway.firmware.bundle import read_manifest
from gateway.firmware.files import FilesError
from gateway.firmware.store import FirmwareStore, FirmwareStoreError
from gateway.observe.events import Event
from gateway.observe.firmware import FirmwareDamaged
from support.bundles import image_of, make_bundle


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def store(tmp_path: Path, events: list[Event]) -> FirmwareStore:
    return FirmwareStore(tmp_path, events.append)


def names(store: FirmwareStore) -> list[str]:
    return sorted(str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file())


def test_a_bundle_that_was_added_is_found_and_given_out_in_pieces(store: FirmwareStore) -> None:
    bundle = make_bundle()
    store.add(bundle)
    assert store.find("nodemcu", "1.1.0") == bundle.manifest
    assert store.all() == [bundle.manifest]
    assert store.models() == {"nodemcu"}
    sha256, got = bundle.manifest.sha256, b""
    while piece := store.piece(sha256, len(got), 1_000):
        if not piece.data:
            break
        assert piece.size == 10_000
        got += piece.data
    assert got == image_of("1.1.0")
    largest = store.piece(sha256, 0, 1_000_000)
    assert largest is not None
    assert len(largest.data) == 4_096


def test_without_a_folder_there_is_nothing(store: FirmwareStore) -> None:
    assert store.all() == []
    assert store.find("nodemcu", "1.1.0") is None
    assert store.piece("0" * 64, 0, 10) is None


def test_versions_are_listed_by_model_and_serial(store: FirmwareStore) -> None:
    for version, serial, model in (("10.0", 10, "b"), ("9.0", 9, "b"), ("1.0", 1, "a")):
        store.add(make_bundle(version, serial, model=model))
    assert [each.version for each in store.all()] == ["1.0", "9.0", "10.0"]


def test_a_version_or_a_serial_comes_once(store: FirmwareStore) -> None:
    store.add(make_bundle("1.1.0", 2))
    with pytest.raises(FirmwareStoreError, match="is there already"):
        store.add(make_bundle("1.1.0", 3))
    with pytest.raises(FirmwareStoreError, match="what is newer"):
        store.add(make_bundle("1.2.0", 2))
    store.add(make_bundle("1.1.0", 2, model="esp32"))


def test_the_room_is_bounded_in_versions_and_in_bytes(store: FirmwareStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_VERSIONS", 2)
    monkeypatch.setattr(room, "MAX_STORE_BYTES", 25_000)
    store.add(make_bundle("1.0", 1))
    with pytest.raises(FirmwareStoreError, match="there is room for"):
        store.add(make_bundle("big", 2, image=image_of("big", 15_001)))
    store.add(make_bundle("2.0", 2))
    with pytest.raises(FirmwareStoreError, match="there is room for"):
        store.add(make_bundle("3.0", 3))


def test_an_image_stays_as_long_as_a_version_has_it(store: FirmwareStore) -> None:
    one, two = make_bundle("1.0", 1, image=b"same"), make_bundle("2.0", 2, image=b"same")
    store.add(one)
    store.add(two)
    store.remove(one.manifest)
    assert store.piece(two.manifest.sha256, 0, 10) is not None
    store.remove(two.manifest)
    assert names(store) == [".lock"]


def test_what_a_crash_leaves_is_swept_by_the_next_change(store: FirmwareStore) -> None:
    store.add(make_bundle("1.0", 1))
    before = names(store)
    (store.folder / "images" / ("0" * 64)).write_bytes(b"nobody's")
    (store.folder / "images" / ".half.new").write_bytes(b"half")
    (store.folder / "manifests" / "nodemcu" / ".2.0.json.new").write_bytes(b"{")
    two = make_bundle("2.0", 2)
    store.add(two)
    store.remove(two.manifest)
    assert [name for name in names(store) if not name.endswith(".json.new")] == before
    assert [each.version for each in store.all()] == ["1.0"]


@pytest.mark.parametrize("written", [0, 1, 2])
def test_after_a_crash_at_any_write_there_is_all_of_it_or_nothing(
    store: FirmwareStore, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    replace, left = files.replace, [written]

    def crash(path: Path, data: bytes) -> None:
        if not left[0]:
            raise FilesError("no power")
        left[0] -= 1
        replace(path, data)

    bundle = make_bundle()
    monkeypatch.setattr(files, "replace", crash)
    if written < 2:
        with pytest.raises(FilesError):
            store.add(bundle)
        assert store.all() == []
        monkeypatch.setattr(files, "replace", replace)
        store.add(bundle)
    else:
        store.add(bundle)
    assert store.all() == [bundle.manifest]
    assert store.piece(bundle.manifest.sha256, 0, 1) is not None


@pytest.mark.parametrize("name", ["../../x", "..", "/etc/passwd", "%2e%2e", "a/../b", "", "nodemcu/../nodemcu"])
def test_no_name_leads_out_of_the_folder(store: FirmwareStore, name: str) -> None:
    store.add(make_bundle())
    assert store.find(name, "1.1.0") is None
    assert store.find("nodemcu", name) is None
    assert store.piece(name, 0, 10) is None


def test_no_link_leads_out_of_the_folder(store: FirmwareStore, tmp_path: Path, events: list[Event]) -> None:
    store.add(make_bundle())
    secret = tmp_path / "secret"
    secret.write_bytes(make_bundle("9.9", 9).manifest.text)
    (store.folder / "manifests" / "nodemcu" / "9.9.json").symlink_to(secret)
    (store.folder / "images" / ("0" * 64)).symlink_to(secret)
    assert [each.version for each in store.all()] == ["1.1.0"]
    assert store.piece("0" * 64, 0, 10) is None
    assert any(isinstance(event, FirmwareDamaged) for event in events)


def test_a_damaged_image_is_not_given_out_and_said_once(store: FirmwareStore, events: list[Event]) -> None:
    bundle = make_bundle()
    store.add(bundle)
    assert store.piece(bundle.manifest.sha256, 0, 1) is not None
    path = store.folder / "images" / bundle.manifest.sha256
    image = bytearray(bundle.image)
    image[9_999] ^= 1
    path.write_bytes(bytes(image))
    os.utime(path, ns=(1, 1))
    assert store.piece(bundle.manifest.sha256, 0, 1) is None
    assert store.piece(bundle.manifest.sha256, 0, 1) is None
    assert [type(event) for event in events] == [FirmwareDamaged]


def test_a_damaged_manifest_is_none(store: FirmwareStore, events: list[Event]) -> None:
    store.add(make_bundle())
    path = store.folder / "manifests" / "nodemcu" / "1.1.0.json"
    path.write_bytes(b"{}")
    assert store.all() == []
    assert isinstance(events[0], FirmwareDamaged)


def test_a_manifest_under_another_name_is_none(store: FirmwareStore) -> None:
    bundle = make_bundle()
    store.add(bundle)
    folder = store.folder / "manifests" / "nodemcu"
    (folder / "1.1.0.json").rename(folder / "2.0.json")
    assert store.find("nodemcu", "2.0") is None
    assert read_manifest((folder / "2.0.json").read_bytes()) == bundle.manifest
