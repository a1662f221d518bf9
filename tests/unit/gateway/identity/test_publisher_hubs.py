import json
from typing import Any

import pytest

from gateway.identity.publisher_hubs import (
    MAX_HOSTS,
    MAX_HUBS,
    MAX_REVOKED,
    MAX_RULES,
    Hub,
    Hubs,
    PublishersError,
    Rule,
    read_hubs,
    write_hubs,
)

KEY = "k" * 16
GOLDEN = b"""{
 "version": 1,
 "hubs": {
  "telemetry": {
   "hosts": [
    "contoso-ns.example"
   ],
   "devicePrefix": "w-",
   "device": "shed",
   "rules": {
    "SendRule": {
     "primaryKey": "kkkkkkkkkkkkkkkk",
     "secondaryKey": "KKKKKKKKKKKKKKKK"
    }
   },
   "revoked": {
    "wipy-01": 5
   }
  }
 }
}
"""
TELEMETRY = Hub(
    name="telemetry",
    hosts=("contoso-ns.example",),
    device_prefix="w-",
    device="shed",
    rules={"SendRule": Rule(KEY, KEY.upper())},
    revoked={"wipy-01": 5},
)


def test_the_file_is_version_1() -> None:
    assert write_hubs(Hubs({"telemetry": TELEMETRY})) == GOLDEN
    assert read_hubs(GOLDEN) == Hubs({"telemetry": TELEMETRY})
    assert KEY not in repr(TELEMETRY)


def changed(**members: Any) -> bytes:
    document = json.loads(GOLDEN)
    document["hubs"]["telemetry"] |= members
    return json.dumps(document).encode()


BAD = {
    "no JSON": b"x",
    "deep": b"[" * 100_000,
    "no object": b"[]",
    "another version": b'{"version":2,"hubs":{}}',
    "another member": b'{"version":1,"hubs":{},"x":1}',
    "hubs that are none": b'{"version":1,"hubs":[]}',
    "a hub that is none": b'{"version":1,"hubs":{"telemetry":[]}}',
    "a name that is none": b'{"version":1,"hubs":{"a/b":{}}}',
    "a name in capitals": GOLDEN.replace(b'"telemetry"', b'"Telemetry"'),
    "a member too many": changed(x=1),
    "hosts that are none": changed(hosts="x"),
    "a host that is none": changed(hosts=["https://x"]),
    "a prefix that is none": changed(devicePrefix="a b"),
    "a device that is none": changed(device=1),
    "rules that are none": changed(rules=[]),
    "a rule that is none": changed(rules={"a": {"primaryKey": KEY}}),
    "a rule's name that is none": changed(rules={"a b": {"primaryKey": KEY, "secondaryKey": KEY}}),
    "a short key": changed(rules={"a": {"primaryKey": "k", "secondaryKey": KEY}}),
    "a key that is no text": changed(rules={"a": {"primaryKey": 1, "secondaryKey": KEY}}),
    "revoked without a time": changed(revoked={"a": True}),
    "nobody revoked": changed(revoked={"a/b": 1}),
    "too many hosts": changed(hosts=[f"h{number}" for number in range(MAX_HOSTS + 1)]),
    "too many rules": changed(rules={f"r{n}": {"primaryKey": KEY, "secondaryKey": KEY} for n in range(MAX_RULES + 1)}),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_half_a_file_is_none(text: bytes) -> None:
    with pytest.raises(PublishersError):
        read_hubs(text)


def test_there_are_bounds() -> None:
    hubs = Hubs({f"h{number}": Hub(name=f"h{number}") for number in range(MAX_HUBS)})
    with pytest.raises(PublishersError, match="65 hubs"):
        hubs.with_hub(TELEMETRY)
    many = Hub(name="h0", revoked={f"p{number}": 1 for number in range(MAX_REVOKED)})
    with pytest.raises(PublishersError, match="10001 publishers"):
        hubs.with_hub(many).with_revoked("h1", "a", 1)


def test_a_hub_that_is_not_there_is_said() -> None:
    hubs = Hubs({"telemetry": TELEMETRY})
    assert hubs.without("telemetry") == Hubs()
    with pytest.raises(PublishersError, match="no hub 'x'"):
        hubs.hub("x")
    assert hubs.with_restored("telemetry", "wipy-01").hub("telemetry").revoked == {}
    assert TELEMETRY.rule("sendRULE") is TELEMETRY.rules["SendRule"]
    assert TELEMETRY.rule("other") is None
