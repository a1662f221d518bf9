from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from edgeca.authority import Authority, self_signed_device
from edgeca.credential import Credential, thumbprint_sha1, thumbprint_sha256
from edgewire.iothub import sas
from edgewire.iothub.amqp.sasl import PlainLogin
from edgewire.iothub.username import Username
from edgewire.message import Identity, identity
from standin.admission import Admission, Admitted, Holder, Realm, Reason, Refused
from standin.documents import Documents
from standin.policies import Policies, Right
from standin.registry import Registry, certificate_entry, symmetric_entry

HUB = "contoso-hub.azure-devices.net"
# The keys and tokens of iothub_wire.md §7.2.
K1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
K2 = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
V01 = (
    "SharedAccessSignature sr=contoso-hub.azure-devices.net%2Fdevices%2Fleaf-01"
    "&sig=nyljIWuuprtNJJ8uRi7R9ivnXtac2QQ2Kynh4ojAMcM%3D&se=1900000000"
)
V02 = (
    "SharedAccessSignature sr=contoso-hub.azure-devices.net%2Fdevices%2Fedge-01%2Fmodules%2Fgateway"
    "&sig=VMCy06wYii%2Ff8JxzZ56zwXrqCz8yiZLeyjH%2B%2FhhHr1k%3D&se=1900000000"
)
V03 = (
    "SharedAccessSignature sr=contoso-hub.azure-devices.net%2Fdevices%2Fleaf-01"
    "&sig=VrS1UB1aIQ45%2FHBD%2FHd3uOOUWGyxLqhoFTCZYwRjz4c%3D&se=1900000000"
)
V12 = (
    "SharedAccessSignature sr=sb%3A%2F%2Fcontoso-hub.azure-devices.net%2Fcontoso-hub%2Fconsumergroups%2F%24Default"
    "&sig=yoXpC7xqMwqHGasS5%2BADS%2B30qmuA2gCoj22loiNHVUg%3D&se=1900000000&skn=iothubowner"
)
V05 = (
    "SharedAccessSignature sr=contoso-hub.azure-devices.net"
    "&sig=m5698KJhQQe8gbkUh79GTMT878KUBO55xSkSGW0O%2BIk%3D&se=1900000000&skn=iothubowner"
)
HEX = V01.replace("nyljIWuuprtNJJ8uRi7R9ivnXtac2QQ2Kynh4ojAMcM%3D", "9f2963216baea6bb4d249f2e462ed1f6")
LEAF = identity("leaf-01")
MODULE = identity("edge-01", "gateway")


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Documents(tmp_path / "state.db") as documents:
        registry = Registry(documents)
        registry.add(symmetric_entry(LEAF, keys=[K1, K2]))
        registry.add(symmetric_entry(identity("edge-01")))
        registry.add(symmetric_entry(MODULE, keys=[K1]))
        yield registry


@pytest.fixture
def policies(tmp_path: Path) -> Iterator[Policies]:
    with Documents(tmp_path / "state.db") as documents:
        yield Policies(documents)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create("Test")


@pytest.fixture
def admission(registry: Registry, policies: Policies, authority: Authority, clock: Clock) -> Admission:
    return Admission(
        registry,
        policies,
        hub_names=frozenset((HUB, "127.0.0.7")),
        authorities=(authority.root.certificate, authority.issuing.certificate),
        clock=clock,
    )


def username(who: Identity, hub: str = HUB) -> Username:
    return Username(hub=hub, device=who.device, module=who.module, api_version="2021-04-12")


def admit(admission: Admission, who: Identity, token: str | None, hub: str = HUB) -> Admitted | Refused:
    return admission.admit(username(who, hub), None if token is None else token.encode(), ())


@pytest.mark.parametrize(("who", "token"), [(LEAF, V01), (LEAF, V03), (MODULE, V02)])
def test_a_good_token_is_let_in_until_it_expires(admission: Admission, who: Identity, token: str) -> None:
    assert admit(admission, who, token) == Admitted(who, 1_900_000_000)


def test_the_hub_may_be_named_with_a_port_and_in_capitals(admission: Admission) -> None:
    assert isinstance(admit(admission, LEAF, V01, f"{HUB.upper()}:8883"), Admitted)


@pytest.mark.parametrize(
    ("who", "token", "hub", "reason"),
    [
        (LEAF, V01, "other-hub.azure-devices.net", Reason.FOREIGN_HUB),
        (identity("nobody"), V01, HUB, Reason.UNKNOWN),
        (LEAF, None, HUB, Reason.NO_CREDENTIALS),
        (LEAF, "", HUB, Reason.NO_CREDENTIALS),
        (LEAF, "nonsense", HUB, Reason.MALFORMED_TOKEN),
        (LEAF, V02, HUB, Reason.FOREIGN_TOKEN),
        (LEAF, V05, HUB, Reason.WRONG_KEY),
        (LEAF, V05.replace("iothubowner", "nobody"), HUB, Reason.UNKNOWN),
        (MODULE, V01, HUB, Reason.FOREIGN_TOKEN),
        (LEAF, HEX, HUB, Reason.WRONG_KEY),
        (LEAF, V01.replace("contoso-hub", "contoso-hob"), HUB, Reason.FOREIGN_TOKEN),
    ],
)
def test_a_bad_token_is_refused_for_its_reason(
    admission: Admission, who: Identity, token: str | None, hub: str, reason: Reason
) -> None:
    decision = admit(admission, who, token, hub)
    assert isinstance(decision, Refused)
    assert decision.reason is reason
    assert "sig=" not in decision.what


@pytest.mark.parametrize(
    ("token", "named"),
    [
        (V01, LEAF),
        (V02, MODULE),
        (HEX, LEAF),
        (V01.replace("leaf-01", "leaf%252D01"), LEAF),
        ("nonsense", Reason.MALFORMED_TOKEN),
        (V05, None),
        (V05.removesuffix("&skn=iothubowner"), Reason.FOREIGN_TOKEN),
        (V01.replace("leaf-01", "leaf-02"), Reason.UNKNOWN),
    ],
)
def test_a_token_names_who_it_is_for(admission: Admission, token: str, named: Identity | Reason | None) -> None:
    found = admission.named_by(token)
    assert (found.reason if isinstance(found, Refused) else found) == named
    if isinstance(found, Refused):
        assert "sig=" not in found.what


@pytest.mark.parametrize(
    ("who", "token", "hub", "expected"),
    [
        (LEAF, V01, "contoso-hub", Admitted(LEAF, 1_900_000_000)),
        (MODULE, V02, "127", Admitted(MODULE, 1_900_000_000)),
        (LEAF, V01, "other-hub", Reason.FOREIGN_HUB),
        (LEAF, V02, "contoso-hub", Reason.FOREIGN_TOKEN),
        (identity("nobody"), V01, "contoso-hub", Reason.UNKNOWN),
    ],
)
def test_a_login_by_plain_names_the_hub_by_its_first_label(
    admission: Admission, who: Identity, token: str, hub: str, expected: Admitted | Reason
) -> None:
    decision = admission.admit_login(PlainLogin(identity=who, hub=hub, token=token))
    assert (decision.reason if isinstance(decision, Refused) else decision) == expected


def test_an_expired_token_has_five_minutes_of_grace(admission: Admission, clock: Clock) -> None:
    clock.now = 1_900_000_299
    assert admit(admission, LEAF, V01) == Admitted(LEAF, 1_900_000_300)
    clock.now = 1_900_000_300
    decision = admit(admission, LEAF, V01)
    assert isinstance(decision, Refused)
    assert decision.reason is Reason.EXPIRED


def test_a_disabled_device_and_its_modules_stay_out(admission: Admission, registry: Registry) -> None:
    registry.set_enabled(LEAF, enabled=False)
    registry.set_enabled(identity("edge-01"), enabled=False)
    for who, token in ((LEAF, V01), (MODULE, V02)):
        decision = admit(admission, who, token)
        assert isinstance(decision, Refused)
        assert decision.reason is Reason.DISABLED


def shown(credential: Credential, *, issuers: bool = True) -> tuple[bytes, ...]:
    chain = (credential.certificate, *(credential.issuers if issuers else ()))
    return tuple(each.public_bytes(Encoding.DER) for each in chain)


@pytest.mark.parametrize("thumbprint", [thumbprint_sha1, thumbprint_sha256])
def test_a_thumbprint_lets_its_certificate_in(
    admission: Admission, registry: Registry, clock: Clock, thumbprint: object
) -> None:
    credential = self_signed_device("x1")
    clock.now = credential.certificate.not_valid_before_utc.timestamp() + 10
    assert callable(thumbprint)
    registry.add(certificate_entry(identity("x1"), ["0" * 40, thumbprint(credential.certificate)]))
    end = credential.certificate.not_valid_after_utc.timestamp()
    assert admission.admit(username(identity("x1")), None, shown(credential)) == Admitted(identity("x1"), end)
    other = admission.admit(username(identity("x1")), None, shown(self_signed_device("x1")))
    assert isinstance(other, Refused)
    assert other.reason is Reason.WRONG_CERTIFICATE


def test_a_device_of_our_ca_is_known_by_its_common_name(
    admission: Admission, registry: Registry, authority: Authority, clock: Clock
) -> None:
    registry.add(certificate_entry(identity("x1")))
    registry.add(certificate_entry(identity("x2")))
    credential = authority.issue_device("x1")
    clock.now = credential.certificate.not_valid_before_utc.timestamp() + 10
    assert isinstance(admission.admit(username(identity("x1")), None, shown(credential)), Admitted)
    assert isinstance(admission.admit(username(identity("x1")), None, shown(credential, issuers=False)), Admitted)
    stranger = Authority.create("Other").issue_device("x1")
    for who, certificates, reason in (
        ("x2", shown(credential), Reason.WRONG_CERTIFICATE),
        ("x1", shown(stranger), Reason.WRONG_CERTIFICATE),
        ("x1", shown(self_signed_device("x1")), Reason.WRONG_CERTIFICATE),
        ("x1", (b"no certificate",), Reason.WRONG_CERTIFICATE),
        ("x1", (), Reason.NO_CREDENTIALS),
    ):
        decision = admission.admit(username(identity(who)), None, certificates)
        assert isinstance(decision, Refused)
        assert decision.reason is reason


def test_a_device_certificate_cannot_issue_another(
    admission: Admission, registry: Registry, authority: Authority, clock: Clock
) -> None:
    registry.add(certificate_entry(identity("victim")))
    attacker = authority.issue_device("attacker")
    forged = authority.issue_server(["victim"], issuer=attacker)
    clock.now = attacker.certificate.not_valid_before_utc.timestamp() + 10
    decision = admission.admit(username(identity("victim")), None, shown(forged))
    assert isinstance(decision, Refused)
    assert decision.reason is Reason.WRONG_CERTIFICATE


def test_an_expired_certificate_and_a_token_for_a_certificate_device_are_refused(
    admission: Admission, registry: Registry, authority: Authority, clock: Clock
) -> None:
    registry.add(certificate_entry(identity("x1")))
    credential = authority.issue_device("x1")
    clock.now = credential.certificate.not_valid_after_utc.timestamp() + 1
    late = admission.admit(username(identity("x1")), None, shown(credential))
    assert isinstance(late, Refused)
    assert late.reason is Reason.EXPIRED
    with_token = admission.admit(username(identity("x1")), V01.encode(), shown(credential))
    assert isinstance(with_token, Refused)
    assert with_token.reason is Reason.WRONG_KIND


def test_a_symmetric_device_needs_its_token_whatever_certificate_it_shows(
    admission: Admission, authority: Authority
) -> None:
    decision = admission.admit(username(LEAF), None, shown(authority.issue_device("leaf-01")))
    assert isinstance(decision, Refused)
    assert decision.reason is Reason.NO_CREDENTIALS


# --- policies ---------------------------------------------------------------------------------------------------------


def policy_token(policies: Policies, name: str, resource: str = HUB) -> str:
    policy = policies.get(name)
    assert policy is not None
    return sas.make(resource, policy.signing_keys()[0], 1_900_000_000, name)


def test_the_owner_is_proven_for_the_hub_by_the_decoded_key(admission: Admission, policies: Policies) -> None:
    policies.set_key("iothubowner", K1)
    holder = admission.admit_policy(V05)
    assert isinstance(holder, Holder)
    assert (holder.policy.name, holder.realm, holder.path, holder.expires_at) == (
        "iothubowner",
        Realm.HUB,
        (),
        1_900_000_000,
    )
    assert holder.gives(Right.REGISTRY_WRITE, Realm.HUB, ("devices", "leaf-01"))
    assert not holder.gives(Right.SERVICE_CONNECT, Realm.EVENTS, ())


def test_the_owner_is_proven_for_the_events_by_the_text_of_the_key(admission: Admission, policies: Policies) -> None:
    policies.set_key("iothubowner", K1)
    holder = admission.admit_policy(V12)
    assert isinstance(holder, Holder)
    assert holder.realm is Realm.EVENTS
    group = ("contoso-hub", "ConsumerGroups", "$default")
    assert holder.gives(Right.SERVICE_CONNECT, Realm.EVENTS, (*group, "Partitions", "0"))
    assert not holder.gives(Right.SERVICE_CONNECT, Realm.EVENTS, ("contoso-hub",))
    assert not holder.gives(Right.SERVICE_CONNECT, Realm.HUB, group)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("contoso-hub.azure-devices.net", "elsewhere.test"), Reason.FOREIGN_TOKEN),
        (("skn=iothubowner", "skn=nobody"), Reason.UNKNOWN),
        (("se=1900000000", "se=1900000001"), Reason.WRONG_KEY),
        (("SharedAccessSignature ", ""), Reason.MALFORMED_TOKEN),
    ],
)
def test_a_bad_token_of_a_policy_is_refused(
    admission: Admission, policies: Policies, change: tuple[str, str], reason: Reason
) -> None:
    policies.set_key("iothubowner", K1)
    refused = admission.admit_policy(V05.replace(*change))
    assert isinstance(refused, Refused)
    assert refused.reason is reason


def test_a_policy_expires_as_a_device_does(admission: Admission, policies: Policies, clock: Clock) -> None:
    policies.set_key("iothubowner", K1)
    clock.now = 1_900_000_000
    late = admission.admit_policy(V05)
    assert isinstance(late, Holder)
    assert late.expires_at == 1_900_000_300
    clock.now = 1_900_000_300
    refused = admission.admit_policy(V05)
    assert isinstance(refused, Refused)
    assert refused.reason is Reason.EXPIRED


@pytest.mark.parametrize(
    ("signer", "who", "expected"),
    [
        (("device", HUB), LEAF, Admitted(LEAF, 1_900_000_000)),
        (("iothubowner", f"{HUB}/devices/leaf-01"), LEAF, Admitted(LEAF, 1_900_000_000)),
        (("device", HUB), MODULE, Admitted(MODULE, 1_900_000_000)),
        (("device", f"{HUB}/devices/leaf-02"), LEAF, Reason.FOREIGN_TOKEN),
        (("service", HUB), LEAF, Reason.FOREIGN_TOKEN),
    ],
)
def test_who_may_connect_devices_may_be_each_of_them(
    admission: Admission, policies: Policies, signer: tuple[str, str], who: Identity, expected: Admitted | Reason
) -> None:
    decision = admit(admission, who, policy_token(policies, *signer))
    assert (decision.reason if isinstance(decision, Refused) else decision) == expected


def test_a_policy_is_no_device_that_is_disabled_or_unknown(
    admission: Admission, policies: Policies, registry: Registry
) -> None:
    holder = admission.admit_policy(policy_token(policies, "device"))
    assert isinstance(holder, Holder)
    registry.set_enabled(LEAF, enabled=False)
    for who, reason in ((LEAF, Reason.DISABLED), (identity("nobody"), Reason.UNKNOWN)):
        refused = admission.admit_by_holder(who, holder)
        assert isinstance(refused, Refused)
        assert refused.reason is reason


def test_a_login_by_plain_names_the_policy_of_its_token(admission: Admission, policies: Policies) -> None:
    token = policy_token(policies, "service")
    assert isinstance(admission.admit_policy_login("service", "contoso-hub", token), Holder)
    for name, hub, reason in (
        ("iothubowner", "contoso-hub", Reason.FOREIGN_TOKEN),
        ("service", "elsewhere", Reason.FOREIGN_HUB),
    ):
        refused = admission.admit_policy_login(name, hub, token)
        assert isinstance(refused, Refused)
        assert refused.reason is reason
