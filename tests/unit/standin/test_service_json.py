from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from standin.errors import HubError
from standin.registry import Authentication, bare_entry, certificate_entry, new_key, symmetric_entry
from standin.service_json import entry_json, read_entry, twin_json
from support.service_calls import EDGE, ServiceSite

D1 = identity("d1")
PRINT = "AB" * 20
KEYS = (new_key(), new_key())
NEVER = "0001-01-01T00:00:00Z"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ServiceSite]:
    site = ServiceSite(tmp_path)
    yield site
    site.hub.close()


def test_a_device_has_all_members_the_sdks_read(site: ServiceSite) -> None:
    entry = site.hub.add(symmetric_entry(D1, keys=KEYS))
    assert entry_json(site.hub, entry) == {
        "deviceId": "d1",
        "generationId": entry.generation_id,
        "etag": entry.etag,
        "connectionState": "Disconnected",
        "connectionStateUpdatedTime": NEVER,
        "lastActivityTime": NEVER,
        "cloudToDeviceMessageCount": 0,
        "authentication": {
            "symmetricKey": {"primaryKey": KEYS[0], "secondaryKey": KEYS[1]},
            "x509Thumbprint": {"primaryThumbprint": None, "secondaryThumbprint": None},
            "type": "sas",
        },
        "status": "enabled",
        "statusReason": None,
        "statusUpdatedTime": NEVER,
        "capabilities": {"iotEdge": False},
    }


def test_a_connection_has_its_time(site: ServiceSite) -> None:
    entry = site.hub.add(symmetric_entry(D1))
    site.connect(D1)
    shown = entry_json(site.hub, entry)
    assert shown["connectionState"] == "Connected"
    assert shown["connectionStateUpdatedTime"] > "2020"


def test_a_twin_says_what_the_registry_knows(site: ServiceSite) -> None:
    entry = site.hub.add(certificate_entry(D1, [PRINT]))
    twin = twin_json(site.hub, entry, {"c": {"status": "Applied"}})
    assert (twin["authenticationType"], twin["x509Thumbprint"]["primaryThumbprint"]) == ("selfSigned", PRINT)
    assert twin["deviceEtag"] == entry.etag
    assert twin["configurations"] == {"c": {"status": "Applied"}}
    assert twin["properties"]["desired"] == {"$metadata": {}, "$version": 1}
    module = site.hub.add(bare_entry(identity("d1", "m")))
    shown = twin_json(site.hub, module)
    assert (shown["moduleId"], shown["deviceEtag"]) == ("m", entry.etag)
    assert "capabilities" not in shown


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({}, Authentication.SYMMETRIC_KEY),
        ({"authentication": {"type": "SAS"}}, Authentication.SYMMETRIC_KEY),
        ({"authentication": {"x509Thumbprint": {"primaryThumbprint": PRINT}}}, Authentication.THUMBPRINT),
        ({"authentication": {"type": "certificateAuthority"}}, Authentication.AUTHORITY),
        ({"authentication": {"type": "none"}}, Authentication.NONE),
        (
            {"authentication": {"type": "sas", "symmetricKey": {"primaryKey": None, "secondaryKey": None}}},
            Authentication.SYMMETRIC_KEY,
        ),
    ],
)
def test_the_kind_of_credentials(said: Any, kind: Authentication) -> None:
    assert read_entry(D1, said, None).authentication is kind


def test_what_a_body_does_not_name_stays() -> None:
    old = replace(symmetric_entry(D1, keys=KEYS), enabled=False, status_reason="why")
    assert read_entry(D1, {}, old) == old
    assert read_entry(D1, {"authentication": {"type": "sas"}}, old).primary_key == KEYS[0]
    other = read_entry(
        D1, {"authentication": {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": PRINT}}}, old
    )
    assert (other.thumbprints, other.primary_key, other.generation_id) == ((PRINT,), "", old.generation_id)


def test_a_child_names_the_scope_of_its_parent(site: ServiceSite) -> None:
    edge = site.hub.registry.get(identity(EDGE))
    assert edge is not None
    child = read_entry(D1, {"deviceScope": edge.device_scope}, None)
    assert child.device_scope == edge.device_scope
    grandchild = read_entry(D1, {"capabilities": {"iotEdge": True}, "parentScopes": [edge.device_scope]}, None)
    assert grandchild.device_scope == f"ms-azure-iot-edge://d1-{grandchild.generation_id}"
    shown = entry_json(site.hub, grandchild)
    assert (shown["deviceScope"], shown["parentScopes"]) == (grandchild.device_scope, [edge.device_scope])
    # Whoever writes back what it has read changes nothing by it.
    assert read_entry(identity(EDGE), {"deviceScope": "ms-azure-iot-edge://other-1"}, edge) == edge


@pytest.mark.parametrize(
    "said",
    [
        {"status": "asleep"},
        {"status": 1},
        {"statusReason": "x" * 129},
        {"authentication": {"type": "tpm"}},
        {"authentication": []},
        {"authentication": {"symmetricKey": {"primaryKey": KEYS[0]}}},
        {"authentication": {"symmetricKey": {"primaryKey": "short", "secondaryKey": "short"}}},
        {"authentication": {"type": "selfSigned"}},
        {"authentication": {"type": "certificateAuthority", "x509Thumbprint": {"primaryThumbprint": PRINT}}},
        {"authentication": {"x509Thumbprint": {"primaryThumbprint": "xyz"}}},
        {"deviceScope": "elsewhere"},
        {"parentScopes": "ms-azure-iot-edge://a"},
        {"parentScopes": ["elsewhere"]},
        {"capabilities": 5},
    ],
)
def test_what_cannot_be_is_refused(said: Any) -> None:
    with pytest.raises(HubError) as caught:
        read_entry(D1, said, None)
    assert caught.value.code == 400004


def test_an_edge_device_stays_one() -> None:
    with pytest.raises(HubError, match="stays one"):
        read_entry(D1, {"capabilities": {"iotEdge": False}}, symmetric_entry(D1, edge=True))
