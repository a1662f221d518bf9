import io
import re
import stat
from pathlib import Path

import pytest

from edgewire.iothub import sas
from edgewire.iothub.http.publisher import PublisherAudience, read_audience
from gateway.cli import publishers
from gateway.identity.publisher_hubs import MAX_RULES, Hub, Rule
from gateway.identity.publishers import PUBLISHERS_FILE, edit_publishers, read_publishers
from support.command_terminal import Terminal

KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_DATA_DIR", str(tmp_path))
    for name in ("GATEWAY_HOST_NAME", "EdgeDeviceHostName"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(publishers, capsys)


def hub_in(data: Path, name: str = "telemetry") -> Hub:
    return read_publishers(data / PUBLISHERS_FILE)[0].hub(name)


@pytest.fixture
def served(out: Terminal) -> Terminal:
    """A hub with a rule whose key is known."""
    out.says("add-hub", "telemetry", "--host", "Contoso-NS.example")
    out.says("add-rule", "telemetry", "SendRule", "--key", KEY)
    return out


def test_a_hub_is_served_and_told_about(out: Terminal, data: Path) -> None:
    said, aside = out.says("add-hub", "Telemetry", "--host", "a.example", "--host", "b.example", "--device", "shed")
    assert said == "hub 'telemetry' is served: a publisher is the device of its name, other messages are of 'shed'\n"
    assert "add-rule telemetry RULE" in aside
    assert hub_in(data) == Hub(name="telemetry", hosts=("a.example", "b.example"), device="shed")
    assert stat.S_IMODE((data / PUBLISHERS_FILE).stat().st_mode) == 0o600
    out.says("add-rule", "telemetry", "SendRule")
    told = out.tells("add-hub", "telemetry", "--device-prefix", "w-", "--device", "")
    assert told == {
        "name": "telemetry",
        "hosts": ["a.example", "b.example"],
        "devicePrefix": "w-",
        "device": "",
        "rules": ["SendRule"],
        "revoked": [],
    }
    assert out.says("add-hub", "telemetry")[1] == ""


def test_new_keys_are_random_and_shown_once(out: Terminal, data: Path) -> None:
    out.says("add-hub", "telemetry")
    shown, aside = out.says("add-rule", "telemetry", "SendRule")
    rule = hub_in(data).rules["SendRule"]
    assert shown.strip() == rule.primary
    assert rule.primary != rule.secondary
    assert re.fullmatch(r"[A-Za-z0-9+/]{43}=", rule.secondary)
    assert "its text signs" in aside
    for text in (*out.says("list"), *out.says("list", "--json")):
        assert rule.primary not in text
        assert rule.secondary not in text


def test_keys_may_be_those_of_an_event_hub(out: Terminal, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out.says("add-hub", "telemetry")
    monkeypatch.setenv("SECOND", KEY[::-1])
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{KEY}\n"))
    told = out.tells("add-rule", "telemetry", "SendRule", "--key", "-", "--secondary-key", "env:SECOND")
    assert told == {"hub": "telemetry", "rule": "SendRule", "primaryKey": KEY, "secondaryKey": KEY[::-1]}
    assert hub_in(data).rules == {"SendRule": Rule(KEY, KEY[::-1])}


def test_a_token_is_for_one_publisher_and_signed_with_the_keys_text(served: Terminal) -> None:
    token = sas.parse(served.says("token", "telemetry", "sendrule", "--publisher", "a b".replace(" ", "-"))[0].strip())
    assert token.key_name == "SendRule"
    assert sas.is_signed_by(token, [KEY.encode()])
    assert read_audience(token) == PublisherAudience("contoso-ns.example", ("telemetry", "publishers", "a-b"))
    told = served.tells("token", "telemetry", "SendRule", "--host", "Other.example", "--ttl", "30d")
    assert told["resource"] == "https://other.example/telemetry"


def test_the_gateways_own_name_is_taken_where_the_hub_has_none(
    out: Terminal, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_publishers(
        data / PUBLISHERS_FILE, lambda hubs: hubs.with_hub(Hub(name="telemetry", rules={"SendRule": Rule(KEY, KEY)}))
    )
    assert "GATEWAY_HOST_NAME" in out.says("token", "telemetry", "SendRule", code=2)[1]
    monkeypatch.setenv("EdgeDeviceHostName", "Gateway.local")
    assert out.tells("token", "telemetry", "SendRule")["resource"] == "https://gateway.local/telemetry"


def test_a_publisher_is_revoked_and_restored(served: Terminal, data: Path) -> None:
    assert served.says("revoke", "telemetry", "wipy-01")[0] == "publisher 'wipy-01' of hub 'telemetry' revoked\n"
    assert list(hub_in(data).revoked) == ["wipy-01"]
    assert "is revoked already" in served.says("revoke", "telemetry", "wipy-01", code=1)[1]
    assert "no token lets it in" in served.says("token", "telemetry", "SendRule", "--publisher", "wipy-01")[1]
    assert re.search(r"revoked since .* UTC: wipy-01", served.says("list")[0])
    assert [each["publisher"] for each in served.tells("list")["hubs"][0]["revoked"]] == ["wipy-01"]
    assert "did you mean 'wipy-01'?" in served.says("restore", "telemetry", "wipy-1", code=1)[1]
    assert served.tells("restore", "telemetry", "wipy-01") == {
        "done": "publisher 'wipy-01' of hub 'telemetry' let in again"
    }
    assert hub_in(data).revoked == {}


@pytest.mark.parametrize(("which", "kept"), [("primary", {"secondary"}), ("secondary", {"primary"}), ("both", set())])
def test_a_key_is_renewed_while_the_other_works(served: Terminal, data: Path, which: str, kept: set[str]) -> None:
    before = hub_in(data).rules["SendRule"]
    served.says("regenerate-key", "telemetry", "SENDRULE", "--which", which)
    after = hub_in(data).rules["SendRule"]
    assert {name for name in ("primary", "secondary") if getattr(before, name) == getattr(after, name)} == kept
    assert after.primary != after.secondary


def test_rules_and_hubs_are_forgotten(served: Terminal, data: Path) -> None:
    assert served.says("remove-rule", "telemetry", "SendRule")[0] == "rule 'SendRule' of hub 'telemetry' removed\n"
    assert hub_in(data).rules == {}
    served.says("remove-hub", "TELEMETRY")
    assert served.says("list")[0].startswith("no hubs; ")


REFUSED = {
    "a name that is none": (["add-hub", ".x"], 2, "no name of a hub"),
    "a path of the gateway": (["add-hub", "Devices"], 2, "no name of a hub"),
    "a host with a scheme": (["add-hub", "x", "--host", "https://x"], 2, "without scheme"),
    "a prefix that is none": (["add-hub", "x", "--device-prefix", "a b"], 2, "no beginning of an id"),
    "a device that is none": (["add-hub", "x", "--device", "a/b"], 2, "no id"),
    "an unknown hub": (["remove-hub", "telemetri"], 1, "did you mean 'telemetry'?"),
    "an unknown rule": (["token", "telemetry", "SendRul"], 1, "did you mean 'SendRule'?"),
    "a rule that is there": (["add-rule", "telemetry", "sendrule"], 1, "regenerate-key"),
    "a rule that is none": (["add-rule", "telemetry", "a b"], 2, "no name of a rule"),
    "a short key": (["add-rule", "telemetry", "r", "--key", "short"], 2, "16 to 256"),
    "a connection string": (["add-rule", "telemetry", "r", "--key", f"SharedAccessKey={KEY}"], 2, "only what stands"),
    "both from standard input": (["add-rule", "telemetry", "r", "--key", "-", "--secondary-key", "-"], 2, "both"),
    "no publisher": (["token", "telemetry", "SendRule", "--publisher", "a/b"], 2, "no publisher here"),
    "no time": (["token", "telemetry", "SendRule", "--ttl", "x"], 2, "no length of time"),
    "a time too long": (["token", "telemetry", "SendRule", "--ttl", "999999999w"], 2, "year 9999"),
    "to revoke nobody": (["revoke", "telemetry", "a/b"], 2, "no publisher here"),
}


@pytest.mark.parametrize(("words", "code", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_with_what_to_do(
    served: Terminal, data: Path, words: list[str], code: int, text: str
) -> None:
    before = (data / PUBLISHERS_FILE).read_bytes()
    said = served.says(*words, code=code)[1]
    assert text in said
    assert KEY not in said
    assert (data / PUBLISHERS_FILE).read_bytes() == before


def test_a_hub_has_so_many_rules(served: Terminal) -> None:
    for number in range(MAX_RULES - 1):
        served.says("add-rule", "telemetry", f"r{number}")
    assert f"{MAX_RULES} at most" in served.says("add-rule", "telemetry", "more", code=1)[1]


def test_a_folder_or_a_file_that_cannot_be_used_is_said(out: Terminal, data: Path) -> None:
    assert "there is no directory" in out.says("list", "--data", str(data / "nowhere"), code=2)[1]
    (data / PUBLISHERS_FILE).write_text("{}")
    assert "holds no hubs" in out.says("list", code=2)[1]
