from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgewire.message import identity
from standin.documents import Documents, JsonObject
from standin.registry import (
    Authentication,
    Registry,
    RegistryError,
    as_edge_device,
    bare_entry,
    certificate_entry,
    new_key,
    symmetric_entry,
)

D1 = identity("d1")
M1 = identity("d1", "m1")


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    with Documents(tmp_path / "state.db") as documents:
        yield documents


@pytest.fixture
def registry(documents: Documents) -> Registry:
    return Registry(documents)


def test_what_was_added_is_there_after_a_restart(documents: Documents, registry: Registry) -> None:
    device = registry.add(symmetric_entry(D1, edge=True))
    module = registry.add(symmetric_entry(M1))
    other = registry.add(certificate_entry(identity("x"), ["AA:" * 19 + "aa"]))
    again = Registry(documents)
    assert again.entries() == (device, module, other)
    assert other.thumbprints == ("AA" * 20,)


def test_keys_are_given_or_made(registry: Registry) -> None:
    key = new_key()
    entry = registry.add(symmetric_entry(D1, keys=[key]))
    assert entry.primary_key == key
    assert len(set(entry.signing_keys())) == 2
    assert all(len(each) == 32 for each in entry.signing_keys())


def test_a_certificate_entry_has_no_keys() -> None:
    assert certificate_entry(D1).signing_keys() == ()
    assert certificate_entry(D1).authentication is Authentication.AUTHORITY
    assert certificate_entry(D1, ["b" * 64]).authentication is Authentication.THUMBPRINT


@pytest.mark.parametrize(
    ("text", "said"),
    [("a b", "impossible"), ("", "impossible"), ("ü", "impossible"), ("a" * 129, "impossible"), ("a/b", "impossible")],
)
def test_an_impossible_id_is_refused(registry: Registry, text: str, said: str) -> None:
    with pytest.raises(RegistryError, match=said):
        registry.add(symmetric_entry(identity(text)))


def test_an_id_is_taken_once(registry: Registry) -> None:
    registry.add(symmetric_entry(D1))
    with pytest.raises(RegistryError, match="already"):
        registry.add(symmetric_entry(D1))


def test_a_module_needs_its_device(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="add the device d1 first"):
        registry.add(symmetric_entry(M1))
    registry.add(symmetric_entry(D1))
    registry.add(certificate_entry(M1))


def test_every_change_has_an_etag_of_its_own(documents: Documents, registry: Registry) -> None:
    first = registry.add(symmetric_entry(D1))
    second = registry.update(replace(first, status_reason="why"))
    registry.set_enabled(D1, enabled=False)
    third = Registry(documents).get(D1)
    assert third is not None
    assert len({first.etag, second.etag, third.etag}) == 3
    assert third.status_reason == "why"
    assert third.status_updated_at is not None


def test_enabling_who_is_enabled_changes_nothing(registry: Registry) -> None:
    entry = registry.add(symmetric_entry(D1))
    registry.set_enabled(D1, enabled=True)
    assert registry.get(D1) == entry


def test_an_unknown_entry_is_not_updated(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="devices list"):
        registry.update(symmetric_entry(D1))


def test_an_edge_device_has_a_scope_and_the_one_it_had_names_its_parent() -> None:
    edge = symmetric_entry(D1, edge=True)
    assert edge.device_scope == f"ms-azure-iot-edge://d1-{edge.generation_id}"
    child = replace(symmetric_entry(identity("d2")), device_scope=edge.device_scope)
    grown = as_edge_device(child)
    assert grown.device_scope == f"ms-azure-iot-edge://d2-{child.generation_id}"
    assert grown.parent_scopes == (edge.device_scope,)
    assert as_edge_device(grown) == grown


def test_who_has_nothing_to_prove_itself_with_has_no_keys() -> None:
    assert bare_entry(M1).authentication is Authentication.NONE
    assert bare_entry(M1).signing_keys() == ()


def test_documents_of_older_stand_ins_are_read(documents: Documents) -> None:
    old: JsonObject = {
        "deviceId": "d1",
        "moduleId": None,
        "authentication": "sas",
        "primaryKey": new_key(),
        "secondaryKey": new_key(),
        "thumbprints": [],
        "enabled": True,
        "generationId": "123",
        "iotEdge": True,
    }
    documents.put("registry", "d1", old)
    entry = Registry(documents).get(D1)
    assert entry is not None
    assert entry.device_scope == "ms-azure-iot-edge://d1-123"
    assert entry.etag
    assert Registry(documents).get(D1) == entry


@pytest.mark.parametrize("key", ["no base64", "c2hvcnQ=", ""])
def test_a_key_that_cannot_be_one_is_refused_without_telling_it(key: str) -> None:
    with pytest.raises(RegistryError, match="key") as caught:
        symmetric_entry(D1, keys=[key])
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("thumbprint", ["", "AB", "G" * 40])
def test_a_text_that_is_no_thumbprint_is_refused(thumbprint: str) -> None:
    with pytest.raises(RegistryError, match="thumbprint"):
        certificate_entry(D1, [thumbprint])


def test_a_device_goes_with_its_modules(documents: Documents, registry: Registry) -> None:
    registry.add(symmetric_entry(D1))
    registry.add(symmetric_entry(M1))
    registry.add(symmetric_entry(identity("d2")))
    assert set(registry.remove(D1)) == {D1, M1}
    assert [entry.identity for entry in Registry(documents).entries()] == [identity("d2")]


def test_disabling_lasts(documents: Documents, registry: Registry) -> None:
    registry.add(symmetric_entry(D1))
    registry.set_enabled(D1, enabled=False)
    entry = Registry(documents).get(D1)
    assert entry is not None
    assert not entry.enabled


def test_who_is_not_there_cannot_be_changed(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="devices list"):
        registry.remove(D1)
    with pytest.raises(RegistryError, match="devices list"):
        registry.set_enabled(D1, enabled=True)


def test_a_connection_string_holds_what_the_sdk_needs() -> None:
    entry = symmetric_entry(M1)
    assert entry.connection_string("hub", "gw") == (
        f"HostName=hub;DeviceId=d1;ModuleId=m1;SharedAccessKey={entry.primary_key};GatewayHostName=gw"
    )
    assert certificate_entry(D1).connection_string("hub") == "HostName=hub;DeviceId=d1;x509=true"
