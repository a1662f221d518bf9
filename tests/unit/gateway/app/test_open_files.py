import resource

import pytest

from gateway.app.open_files import FILES_BESIDE, allow_open_files

INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("limits", "connections", "set_to", "answer"),
    [
        pytest.param((1024, 4096), 2000, (2000 + FILES_BESIDE, 4096), None, id="raised as far as needed"),
        pytest.param((1024, 1500), 2000, (1500, 1500), 1500, id="raised as far as allowed, and told"),
        pytest.param((1024, INFINITE), 5000, (5000 + FILES_BESIDE, INFINITE), None, id="no upper limit"),
        pytest.param((10_000, 10_000), 5000, None, None, id="enough as it is"),
        pytest.param((INFINITE, INFINITE), 5000, None, None, id="no limit at all"),
    ],
)
def test_the_limit_is_raised_as_far_as_connections_need(
    limits: tuple[int, int],
    connections: int,
    set_to: tuple[int, int] | None,
    answer: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: calls.append(new))
    assert allow_open_files(connections) == answer
    assert calls == ([] if set_to is None else [set_to])
