import pytest

from edgewire.transport.proxy import ConnectAnswer, Proxy, ProxyError, proxy_for


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "http://proxy.site:8080"}, Proxy(host="proxy.site", port=8080)),
        ({"HTTPS_PROXY": "proxy.site:8080/"}, Proxy(host="proxy.site", port=8080)),
        ({"HTTPS_PROXY": "http://proxy.site"}, Proxy(host="proxy.site", port=3128)),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:2"}, Proxy(host="small", port=1)),
        ({"HTTPS_PROXY": "http://u%40d:p%3Aw@h:1"}, Proxy(host="h", port=1, user="u@d", password="p:w")),
        ({"HTTPS_PROXY": "http://[fd00::1]:8080"}, Proxy(host="fd00::1", port=8080)),
    ],
)
def test_the_proxy_is_read_from_the_environment(environ: dict[str, str], proxy: Proxy | None) -> None:
    assert proxy_for("hub.example", environ) == proxy


@pytest.mark.parametrize(
    ("host", "exceptions", "excepted"),
    [
        ("hub.example", "hub.example", True),
        ("HUB.example.", "hub.EXAMPLE", True),
        ("a.hub.example", "hub.example", True),
        ("a.hub.example", ".hub.example", True),
        ("a.hub.example", "*.hub.example", True),
        ("nothub.example", "hub.example", False),
        ("hub.example", "other, hub.example:443", True),
        ("hub.example", "*", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("hub.example", "10.0.0.0/8,", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "nonsense/8", False),
    ],
)
def test_exceptions_are_hosts_domains_and_networks(host: str, exceptions: str, *, excepted: bool) -> None:
    found = proxy_for(host, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": exceptions})
    assert (found is None) is excepted
    assert (proxy_for(host, {"HTTPS_PROXY": "http://p:1", "no_proxy": exceptions}) is None) is excepted


@pytest.mark.parametrize(
    "address",
    [
        "socks5://u:secret@h:1",
        "http://:secret@:1",
        "http://u:secret@h:port",
        "http://u:secret/more@h:1",
        "http://u:12#secret@h:1",
        "u:12/secret@h:1",
        "http://u:[secret@h:1",
    ],
)
def test_an_address_that_cannot_be_one_is_said_without_the_password(address: str) -> None:
    with pytest.raises(ProxyError, match="HTTPS_PROXY") as failed:
        proxy_for("hub.example", {"HTTPS_PROXY": address})
    assert "secret" not in str(failed.value)


def test_an_address_with_colons_is_bracketed() -> None:
    request = Proxy(host="p", port=1).connect_request("fd00::7", 5671)
    assert request == b"CONNECT [fd00::7]:5671 HTTP/1.1\r\nHost: [fd00::7]:5671\r\n\r\n"


def test_an_answer_is_read_whole_cut_and_with_bytes_left_over() -> None:
    whole = b"HTTP/1.0 200 OK\r\nVia: me\r\n\r\n"
    assert ConnectAnswer().receive(whole + b"rest") == b"rest"
    for cut in range(len(whole)):
        answer = ConnectAnswer()
        assert answer.receive(whole[:cut]) is None
        assert answer.receive(whole[cut:]) == b""


def test_no_password_is_shown() -> None:
    assert "secret" not in repr(Proxy(host="h", port=1, user="u", password="secret"))
