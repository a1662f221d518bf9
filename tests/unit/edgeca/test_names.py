import pytest

from edgeca.authority import Authority
from edgeca.errors import CaError
from edgeca.names import alternative_names, check_characters, check_identifier, common_name, names_as_text, parse_names


@pytest.mark.parametrize(
    ("names", "signed"),
    [
        (["gateway"], ("gateway",)),
        (["Gateway.Example.ORG."], ("gateway.example.org",)),
        (["gateway.local"], ("gateway.local", "gateway")),
        (["gateway.local", "gateway"], ("gateway.local", "gateway")),
        (["*.plant.local"], ("*.plant.local",)),
        (["*.local"], ("*.local",)),
        (["my_host"], ("my_host",)),
        (["192.168.1.10"], ("192.168.1.10",)),
        (["::1"], ("::1",)),
        (["[fe80::0001]"], ("fe80::1",)),
        (["127.0.0.7", "hub.azure-devices.net", "127.0.0.7"], ("127.0.0.7", "hub.azure-devices.net")),
        (["xn--bcher-kva.example"], ("xn--bcher-kva.example",)),
        (["3com"], ("3com",)),
    ],
)
def test_names_become_the_alternative_names_they_mean(names: list[str], signed: tuple[str, ...]) -> None:
    assert names_as_text(parse_names(names)) == signed


def test_addresses_become_ip_names_and_hosts_become_dns_names() -> None:
    kinds = [type(name).__name__ for name in parse_names(["10.0.0.1", "a.example"])]
    assert kinds == ["IPAddress", "DNSName"]


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "*",
        "a..b",
        "-a",
        "a-",
        "a b",
        "https://gateway",
        "gateway:8883",
        "gateway/x",
        "10.0.0.256",
        "10.0.0",
        "a.*.b",
        "x" * 64,
        ".".join(["x" * 60] * 5),
        "a\n",
        "fe80::1%eth0",
    ],
)
def test_what_is_neither_host_nor_address_is_refused_with_an_example(name: str) -> None:
    with pytest.raises(CaError, match="neither a host name nor an IP address"):
        parse_names([name])


def test_letters_outside_ascii_are_asked_for_in_their_wire_form() -> None:
    with pytest.raises(CaError, match="xn-- form"):
        parse_names(["bücher.example"])


def test_no_names_at_all_are_refused() -> None:
    with pytest.raises(CaError, match="at least one"):
        parse_names([])


@pytest.mark.parametrize("identifier", ["board-1", "a", "x" * 64, "A.b_c:d@e%f*?!(),=$'+#"])
def test_iot_hubs_ids_are_taken(identifier: str) -> None:
    assert check_identifier(identifier, "device id") == identifier


@pytest.mark.parametrize("identifier", ["", "a b", "a/b", "ä", "a\n", 'a"b', "a\\b", "a;b"])
def test_characters_that_iot_hub_refuses_are_refused(identifier: str) -> None:
    with pytest.raises(CaError, match="IoT Hub takes letters"):
        check_identifier(identifier, "device id")


def test_an_id_too_long_for_a_common_name_is_refused_with_the_way_round() -> None:
    with pytest.raises(CaError, match=r"65 characters.*self-signed pair"):
        check_identifier("x" * 65, "device id")


def test_an_id_too_long_for_iot_hub_is_refused() -> None:
    assert check_characters("x" * 128, "device id")
    with pytest.raises(CaError, match="at most 128"):
        check_characters("x" * 129, "device id")


def test_names_are_read_back_from_a_certificate() -> None:
    authority = Authority.create()
    server = authority.issue_server(["gateway.local", "127.0.0.7"]).certificate
    assert (common_name(server), alternative_names(server)) == (
        "gateway.local",
        ("gateway.local", "gateway", "127.0.0.7"),
    )
    assert alternative_names(authority.root.certificate) == ()
