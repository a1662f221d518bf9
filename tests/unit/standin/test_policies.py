from collections.abc import Iterator
from pathlib import Path

import pytest

from edgewire.iothub import sas
from standin.documents import Documents
from standin.policies import OWNER, RIGHTS, Policies, PolicyError, Right, target_of

HOSTS = frozenset({"hub.test", "127.0.0.7"})
K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
V05 = (
    "SharedAccessSignature sr=contoso-hub.azure-devices.net&sig=m5698KJhQQe8gbkUh79GTMT878KUBO55xSkSGW0O%2BIk%3D"
    "&se=1900000000&skn=iothubowner"
)
"""iothub_wire.md §7.2."""
V12 = (
    "SharedAccessSignature sr=sb%3A%2F%2Fcontoso-hub.azure-devices.net%2Fcontoso-hub%2Fconsumergroups%2F%24Default"
    "&sig=yoXpC7xqMwqHGasS5%2BADS%2B30qmuA2gCoj22loiNHVUg%3D&se=1900000000&skn=iothubowner"
)
NOW = 1_800_000_000.0
CONTOSO = frozenset({"contoso-hub.azure-devices.net"})


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    with Documents(tmp_path / "state.db") as documents:
        yield documents


@pytest.fixture
def policies(documents: Documents) -> Policies:
    return Policies(documents)


def token(policies: Policies, resource: str = "hub.test", policy: str = OWNER, expires_at: int = 1_900_000_000) -> str:
    key = policies.get(policy)
    assert key is not None
    return sas.make(resource, key.signing_keys()[0], expires_at, policy)


def test_the_keys_stay_over_a_restart(documents: Documents, policies: Policies) -> None:
    assert Policies(documents).owner() == policies.owner()


def test_every_policy_has_its_own_keys(policies: Policies) -> None:
    kept = [policies.get(name) for name in RIGHTS]
    assert len({key for policy in kept if policy for key in policy.text_keys()}) == 2 * len(RIGHTS)


def test_no_key_shows_where_a_policy_is_printed(policies: Policies) -> None:
    assert policies.owner().primary_key not in repr(policies.owner())


@pytest.mark.parametrize(
    ("name", "rights"),
    [
        ("iothubowner", set(Right) - {Right.SEND, Right.LISTEN}),
        ("service", {Right.SERVICE_CONNECT}),
        ("device", {Right.DEVICE_CONNECT}),
        ("registryRead", {Right.REGISTRY_READ}),
        ("registryReadWrite", {Right.REGISTRY_READ, Right.REGISTRY_WRITE}),
    ],
)
def test_a_policy_has_the_rights_the_cloud_gives_it(policies: Policies, name: str, rights: set[Right]) -> None:
    policy = policies.get(name)
    assert policy is not None
    assert policy.rights == rights


def test_the_published_vector_is_admitted(policies: Policies) -> None:
    policies.set_key(OWNER, K1)
    assert policies.admit(V05, hosts=CONTOSO, path=("devices", "d1"), now=NOW).name == OWNER


def test_a_token_of_event_hubs_is_signed_with_the_text_of_the_key(policies: Policies) -> None:
    policies.set_key(OWNER, K1)
    parsed = sas.parse(V12)
    assert sas.is_signed_by(parsed, policies.owner().text_keys())
    assert not sas.is_signed_by(parsed, policies.owner().signing_keys())
    target = target_of(parsed)
    assert (target.host, target.path) == (
        "contoso-hub.azure-devices.net",
        ("contoso-hub", "consumergroups", "$Default"),
    )


@pytest.mark.parametrize(
    "resource", ["hub.test", "HUB.test", "127.0.0.7", "hub.test:8443", "https://hub.test", "hub.test/devices"]
)
def test_a_token_may_name_the_hub_in_these_ways(policies: Policies, resource: str) -> None:
    assert policies.admit(token(policies, resource), hosts=HOSTS, path=("devices", "d1"), now=NOW).name == OWNER


@pytest.mark.parametrize("resource", ["other.test", "hub.test/twins", "hub.test/dev", "hub.test/devices/d1/x", ""])
def test_a_token_for_something_else_is_refused(policies: Policies, resource: str) -> None:
    with pytest.raises(PolicyError):
        policies.admit(token(policies, resource), hosts=HOSTS, path=("devices", "d1"), now=NOW)


def test_the_secondary_key_is_as_good(policies: Policies) -> None:
    text = sas.make("hub.test", policies.owner().signing_keys()[1], 1_900_000_000, OWNER)
    assert policies.admit(text, hosts=HOSTS, path=(), now=NOW).name == OWNER


def test_an_expired_token_is_refused(policies: Policies) -> None:
    with pytest.raises(PolicyError, match="expired"):
        policies.admit(token(policies, expires_at=1_700_000_000), hosts=HOSTS, path=(), now=NOW)


def test_a_key_of_another_policy_is_refused(policies: Policies) -> None:
    text = sas.make("hub.test", policies.owner().signing_keys()[0], 1_900_000_000, "service")
    with pytest.raises(PolicyError, match="not signed"):
        policies.admit(text, hosts=HOSTS, path=(), now=NOW)


@pytest.mark.parametrize("name", [None, "nobody"])
def test_a_token_without_a_known_policy_is_refused(policies: Policies, name: str | None) -> None:
    text = sas.make("hub.test", policies.owner().signing_keys()[0], 1_900_000_000, name)
    with pytest.raises(PolicyError, match="names"):
        policies.admit(text, hosts=HOSTS, path=(), now=NOW)


def test_what_is_no_token_is_refused(policies: Policies) -> None:
    with pytest.raises(PolicyError):
        policies.admit("Bearer x", hosts=HOSTS, path=(), now=NOW)


def test_a_key_can_be_given_and_stays(documents: Documents, policies: Policies) -> None:
    policies.set_key(OWNER, K1)
    assert Policies(documents).owner().connection_string("h") == (
        f"HostName=h;SharedAccessKeyName=iothubowner;SharedAccessKey={K1}"
    )


def test_a_bad_key_or_name_is_refused_without_telling_the_key(policies: Policies) -> None:
    with pytest.raises(PolicyError, match="iothubowner") as caught:
        policies.set_key(OWNER, "secret!")
    assert "secret!" not in str(caught.value)
    with pytest.raises(PolicyError, match="no policy"):
        policies.set_key("x", K1)
