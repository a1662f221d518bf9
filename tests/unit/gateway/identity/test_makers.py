from functools import partial
from pathlib import Path

import pytest

from edgewire.message import identity
from gateway.identity.makers import DeviceMaker, GroupMaker, RegistryMaker, TakenError
from gateway.identity.registry import Registry
from gateway.identity.roster import CaSigned, Credential, Group, NoCredential, Registration, Roster, SymmetricKeys
from support.new_board import group_secret

KEYS = SymmetricKeys(b"0123456789abcdef" * 2, b"fedcba9876543210" * 2)
GROUP = Group("site", SymmetricKeys(b"g" * 64, b"h" * 64), "node-")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "devices.json"


def register(path: Path, credential: Credential = KEYS, *, enabled: bool = True) -> None:
    entry = Registration(identity("node-1"), credential, enabled)
    Registry(path).edit(partial(Roster.with_registration, registration=entry))


@pytest.mark.parametrize("by_group", [False, True])
def test_every_maker_makes_a_key_that_stays(path: Path, *, by_group: bool) -> None:
    maker: DeviceMaker = GroupMaker(path, GROUP) if by_group else RegistryMaker(path)
    key = maker.make("node-1", may_renew=False)
    assert len(key) == 32
    assert maker.made("node-1") == key


@pytest.mark.parametrize("by_group", [False, True])
def test_no_maker_takes_a_device_that_is_there(path: Path, *, by_group: bool) -> None:
    register(path)
    maker: DeviceMaker = GroupMaker(path, GROUP) if by_group else RegistryMaker(path)
    with pytest.raises(TakenError):
        maker.make("node-1", may_renew=False)
    found = Registry(path).find(identity("node-1"))
    assert found == Registration(identity("node-1"), KEYS)


def test_the_registrys_keys_are_random_and_on_disk(path: Path) -> None:
    maker = RegistryMaker(path)
    assert maker.made("node-1") is None
    first, second = (maker.make(device, may_renew=False) for device in ("node-1", "node-2"))
    assert first != second
    found = Registry(path).find(identity("node-1"))
    assert found is not None
    assert isinstance(found.credential, SymmetricKeys)
    assert found.credential.primary == first
    assert found.credential.secondary not in (first, second)


def test_a_device_may_be_renewed_if_it_comes_by_key_and_is_not_shut_out(path: Path) -> None:
    register(path)
    maker = RegistryMaker(path)
    key = maker.make("node-1", may_renew=True)
    assert key != KEYS.primary
    assert maker.made("node-1") == key
    for credential, enabled in ((CaSigned(), True), (KEYS, False)):
        register(path, credential, enabled=enabled)
        assert maker.made("node-1") is None
        with pytest.raises(TakenError):
            maker.make("node-1", may_renew=True)


def test_a_groups_key_is_the_one_that_the_cloud_derives(path: Path) -> None:
    assert GroupMaker(path, GROUP).make("node-1", may_renew=True) == group_secret(b"g" * 64, "node-1")
    assert not path.exists()


@pytest.mark.parametrize("by_group", [False, True])
def test_an_id_that_only_topics_used_is_free(path: Path, *, by_group: bool) -> None:
    register(path, NoCredential())
    maker: DeviceMaker = GroupMaker(path, GROUP) if by_group else RegistryMaker(path)
    assert maker.make("node-1", may_renew=False) == maker.made("node-1")
    register(path, NoCredential(), enabled=False)
    with pytest.raises(TakenError):
        maker.make("node-1", may_renew=True)
