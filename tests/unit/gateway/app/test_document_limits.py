from typing import Any

import pytest

from gateway.app.document import read_settings
from gateway.app.document_limits import MAX_PATTERNS, read_limits
from gateway.dispatch.allowance import Allowance, Limits, WhenOver

ROUTES = {"all": "FROM /messages/* INTO $upstream"}


def read(limits: Any) -> tuple[Limits | None, list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    problems: list[tuple[str, str, str]] = []
    warnings: list[tuple[str, str, str]] = []
    found = read_limits(limits, lambda *said: problems.append(said), lambda *said: warnings.append(said))
    return found, problems, warnings


def test_all_of_it_is_read() -> None:
    found, problems, warnings = read(
        {
            "perDevice": {
                "messagesPerSecond": 20,
                "burst": 100,
                "bytesPerSecond": 65536,
                "burstBytes": 100_000,
                "messagesPerDay": 50_000,
                "whenOver": "refuse",
            },
            "devices": {"camera-*": {"bytesPerSecond": 1_048_576}, "hub": {}, "gone": None, "$metadata": 1},
            "users": {"pump": {"messagesPerSecond": 0.5}},
        }
    )
    assert (problems, warnings) == ([], [])
    assert found is not None
    assert found.per_device == Allowance(
        messages_per_s=20,
        burst=100,
        bytes_per_s=65536,
        burst_bytes=100_000,
        messages_per_day=50_000,
        when_over=WhenOver.REFUSE,
    )
    assert found.devices == {"camera-*": Allowance(bytes_per_s=1_048_576, burst_bytes=5_242_880), "hub": Allowance()}
    assert found.users == {"pump": Allowance(messages_per_s=0.5, burst=2.5)}


def test_what_limits_nobody_is_none() -> None:
    nothings: list[Any] = [None, {}, {"perDevice": {}}, {"perDevice": None, "devices": {"d1": {}}}]
    for nothing in nothings:
        assert read(nothing) == (None, [], [])


@pytest.mark.parametrize(
    ("limits", "path", "message", "fix"),
    [
        (7, "limits", "must be an object", '"perDevice"'),
        ({"perDevise": {}}, "limits.perDevise", "no setting 'perDevise'", "did you mean 'perDevice'?"),
        ({"perDevice": 5}, "limits.perDevice", "must be an object", "messagesPerSecond"),
        ({"perDevice": {"rate": 5}}, "limits.perDevice.rate", "no setting 'rate'", "known here: messagesPerSecond"),
        (
            {"perDevice": {"messagesPerSecond": 0}},
            "limits.perDevice.messagesPerSecond",
            "0 is no number from 0.01 to 1,000,000",
            "left out",
        ),
        (
            {"perDevice": {"messagesPerSecond": True}},
            "limits.perDevice.messagesPerSecond",
            "True is no number",
            "left out",
        ),
        (
            {"perDevice": {"bytesPerSecond": 10}},
            "limits.perDevice.bytesPerSecond",
            "no whole number from 256",
            "left out",
        ),
        ({"perDevice": {"bytesPerSecond": 300.5}}, "limits.perDevice.bytesPerSecond", "no whole number", "left out"),
        ({"perDevice": {"messagesPerDay": "1"}}, "limits.perDevice.messagesPerDay", "no whole number", "left out"),
        ({"perDevice": {"burst": 10}}, "limits.perDevice.burst", "nothing without messagesPerSecond", "add"),
        ({"perDevice": {"burstBytes": 300}}, "limits.perDevice.burstBytes", "nothing without bytesPerSecond", "add"),
        (
            {"perDevice": {"whenOver": "slwo"}},
            "limits.perDevice.whenOver",
            "'slwo' is no policy",
            "did you mean 'slow'?",
        ),
        ({"perDevice": {"whenOver": 1}}, "limits.perDevice.whenOver", "1 is no policy", 'write "slow" or "refuse"'),
        ({"devices": {"a.b": {}}}, "limits.devices.a.b", "no name or pattern", "write * for a dot"),
        ({"users": {"a b": {}}}, "limits.users.a b", "no name or pattern", "write * for a dot"),
        ({"devices": []}, "limits.devices", "must be an object", "camera-*"),
        ({"devices": {f"d{n}": {} for n in range(MAX_PATTERNS + 1)}}, "limits.devices", "201 entries", "patterns"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_write(limits: Any, path: str, message: str, fix: str) -> None:
    _, problems, _ = read(limits)
    assert len(problems) == 1, problems
    assert problems[0][0] == path
    assert message in problems[0][1]
    assert fix in problems[0][2]


def test_a_day_with_slow_is_warned_of() -> None:
    _, problems, warnings = read({"perDevice": {"messagesPerDay": 5}})
    assert problems == []
    assert [path for path, _, _ in warnings] == ["limits.perDevice.messagesPerDay"]
    assert '"whenOver": "refuse"' in warnings[0][2]


def test_the_document_carries_it() -> None:
    reading = read_settings({"routes": ROUTES, "limits": {"perDevice": {"messagesPerSecond": 2}}})
    assert reading.settings is not None
    assert reading.settings.limits == Limits(per_device=Allowance(messages_per_s=2, burst=10))
    bad = read_settings({"routes": ROUTES, "limits": {"perDevice": {"messagesPerSecond": -2}}})
    assert bad.problems[0].path == "limits.perDevice.messagesPerSecond"
    assert bad.settings is None


def test_edge_hub_has_no_limits() -> None:
    deployment = {
        "modulesContent": {
            "gateway": {"properties.desired": {"routes": ROUTES}},
            "$edgeHub": {
                "properties.desired": {
                    "schemaVersion": "1.1",
                    "routes": {},
                    "storeAndForwardConfiguration": {"timeToLiveSecs": 1},
                    "limits": {},
                }
            },
        }
    }
    assert any("no setting 'limits'" in problem.message for problem in read_settings(deployment).problems)
