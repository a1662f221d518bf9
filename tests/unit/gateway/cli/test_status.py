import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import status
from gateway.cli.main import main

STATUS = {
    "version": "1.2.3",
    "uptimeSecs": 61,
    "devices": 2,
    "connections": 3,
    "upstream": {"state": "connected", "sentence": "connected for 60 s"},
    "upstreamOnBehalf": {"state": "waiting", "sentence": "waiting for 5 s: no route"},
    "settings": {"version": 7, "source": "twin", "lastOfferWasGood": False},
    "store": {
        "state": "full",
        "bytes": 2048,
        "maxBytes": 4096,
        "queues": [{"endpoint": "$upstream", "priority": 0, "messages": 3, "bytes": 99, "oldestAgeSecs": 5}],
    },
    "counters": {},
}


def answer(monkeypatch: pytest.MonkeyPatch, said: dict[str, Any]) -> None:
    def ask(_folder: Path, question: Mapping[str, Any]) -> dict[str, Any]:
        return {"connected": ["d1", "d2"]} if question["ask"] == "connected" else dict(said)

    monkeypatch.setattr(status, "ask", ask)


def test_a_person_reads_it_at_a_glance(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, STATUS)
    assert main(["status", "--devices"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "gateway 1.2.3, up 61 s",
        "devices   2 connected",
        "upstream  connected for 60 s",
        "upstream  on behalf of devices: waiting for 5 s: no route",
        "settings  from twin version 7; the last were bad",
        "store     2048 of 4096 bytes, full",
        "          3 messages for $upstream, priority 0, the oldest for 5 s",
        "          d1",
        "          d2",
    ]


def test_a_gateway_alone_has_no_upstream(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"version": None, "source": "default", "lastOfferWasGood": True, "batchesWithoutSender": ["all"]}
    answer(monkeypatch, STATUS | {"upstream": None, "upstreamOnBehalf": None, "settings": settings})
    assert main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == ["upstream  none", "settings  from default"]
    assert lines[4] == "          batches of route 'all' wait: they go as the module, which has no way upstream here"


def test_topics_that_became_no_messages_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = {"listener": "plain", "topic": "site/../x", "reason": "illegal_id", "count": 1, "detail": "only dots"}
    topics = {
        "rules": 2,
        "devicesWithoutCredentials": 5,
        "unmatched": [{"listener": "broker", "topic": "a/b", "count": 3}],
        "refused": [refused],
    }
    answer(monkeypatch, STATUS | {"topics": topics})
    assert main(["status"]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "topics    2 rules, 5 devices without credentials",
        "          no rule takes 'a/b' (broker), 3 times",
        "          refused 'site/../x' (plain), 1 times: only dots",
    ]


def test_who_talks_at_the_plain_listener_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = {"clients": 3, "sessions": 5, "subscriptions": 7, "retained": 2, "waitingBytes": 90}
    answer(monkeypatch, STATUS | {"plain": plain})
    assert main(["status"]) == 0
    said = "plain     3 clients, 2 away and remembered; 7 filters, 2 retained messages, 90 bytes wait"
    assert said in capsys.readouterr().out.splitlines()


def test_programs_get_all_of_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, STATUS)
    assert main(["status", "--json", "--devices"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS | {"connected": ["d1", "d2"]}


def test_without_a_gateway_it_is_said_where_to_look(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--data", str(tmp_path)]) == 2
    assert "Run the command where the gateway runs" in capsys.readouterr().err


def test_the_link_to_each_endpoint_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer(monkeypatch, STATUS | {"endpoints": {"archive": {"state": "connected", "sentence": "connected for 9 s"}}})
    assert main(["status"]) == 0
    assert "endpoint  archive: connected for 9 s" in capsys.readouterr().out.splitlines()
