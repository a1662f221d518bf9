"""Who may import whom (style §1): a room imports its own files and the rooms on its row, nothing else."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from project_sources import source_files

OURS = {"edgewire", "edgepage", "gateway", "standin", "edgeca"}
EDGEWIRE = {f"edgewire.{room}" for room in ("errors", "message", "line", "codec", "iothub", "session", "transport")}

ROOMS: dict[str, set[str]] = {
    "edgewire.errors": set(),
    "edgewire.message": {"edgewire.errors"},
    # What is done with every message's bytes; compiled, so it must stand on nothing that is not.
    "edgewire.line": {"edgewire.errors", "edgewire.message"},
    "edgewire.codec": {"edgewire.errors", "edgewire.message", "edgewire.line"},
    "edgewire.iothub": {"edgewire.errors", "edgewire.message", "edgewire.line", "edgewire.codec"},
    "edgewire.session": {"edgewire.errors", "edgewire.message", "edgewire.line", "edgewire.codec"},
    "edgewire.transport": {"edgewire.errors", "edgewire.session"},
    "gateway.observe": {"edgewire.errors", "edgewire.message"},
    "gateway.routing": {"edgewire.errors", "edgewire.message", "edgewire.line"},
    "gateway.store": {"edgewire.errors", "edgewire.message", "edgewire.line", "gateway.observe"},
    "gateway.identity": EDGEWIRE | {"gateway.observe", "gateway.store"},
    # How twins merge and what the hub takes is a matter of both peers: edgewire.iothub.twins, values alone.
    "gateway.twin": {"edgewire.errors", "edgewire.message", "edgewire.iothub", "gateway.observe", "gateway.store"},
    # Pure: topics, IoT Hub's ids and sizes.
    "gateway.topics": {"edgewire.errors", "edgewire.message", "edgewire.iothub"},
    "gateway.dispatch": {
        "edgewire.errors",
        "edgewire.iothub",
        "edgewire.message",
        "gateway.observe",
        "gateway.identity",
        "gateway.twin",
        "gateway.routing",
        "gateway.store",
        "gateway.topics",
    },
    "gateway.firmware": {
        "edgewire.errors",
        "edgewire.iothub",
        "edgewire.message",
        "gateway.observe",
        "gateway.dispatch",
    },
    # Local publish and subscribe knows topics and their wildcards, and no connection.
    "gateway.broker": {"edgewire.errors", "edgewire.message", "gateway.observe", "gateway.topics"},
    "gateway.head": EDGEWIRE | {"gateway.observe", "gateway.identity", "gateway.dispatch", "gateway.broker"},
    "gateway.upstream": EDGEWIRE
    | {f"gateway.{room}" for room in ("observe", "identity", "twin", "store", "dispatch", "broker")},
    # Batches and windows: they take from the store as a way upstream does, and give back to it.
    "gateway.sending": {
        *("edgewire.errors", "edgewire.message", "edgewire.iothub", "edgewire.transport"),
        *(f"gateway.{room}" for room in ("observe", "routing", "store", "upstream")),
    },
    "edgepage": set(),
    "gateway.dashboard": {"edgewire.message", "edgepage", "gateway.observe", "gateway.dispatch"},
    # The checks of `gateway doctor`: they look at all that there is, by the code that uses it.
    "gateway.doctor": EDGEWIRE
    | {f"gateway.{room}" for room in ("observe", "routing", "store", "identity", "upstream", "app")},
    # Commands work on what the operator has (files, keys, messages), so they also read identities and tokens.
    "gateway.cli": EDGEWIRE
    | {f"gateway.{room}" for room in ("observe", "routing", "store", "identity", "firmware", "topics")}
    | {"gateway.app", "gateway.doctor"},
    "gateway.app": EDGEWIRE
    | {"edgepage"}
    | {
        f"gateway.{room}"
        for room in (
            "observe",
            "routing",
            "store",
            "identity",
            "twin",
            "dispatch",
            "firmware",
            "topics",
            "broker",
            "head",
            "upstream",
            "sending",
            "dashboard",
        )
    },
    "standin": EDGEWIRE | {"edgeca", "edgepage"},
    "edgeca": set(),
}


def room_of(module: str) -> str:
    """The room a dotted module name belongs to: two parts in edgewire and gateway, one elsewhere."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] in {"edgewire", "gateway"} else parts[0]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from gateway import store` names a room, `from edgewire.message import Message` a member.
            yield from (f"{node.module}.{alias.name}" if node.module in OURS else node.module for alias in node.names)


@pytest.mark.parametrize(("module", "path"), list(source_files()), ids=lambda value: str(value)[-60:])
def test_a_room_imports_only_rooms_on_its_row(module: str, path: Path) -> None:
    room = room_of(module)
    if module in OURS - {"standin", "edgeca"}:
        return
    assert room in ROOMS, f"{path} stands in no room of style §1"
    for imported in imports(path):
        if imported.split(".")[0] not in OURS or imported == "gateway.__version__":
            continue
        assert room_of(imported) == room or room_of(imported) in ROOMS[room], f"{path} imports {imported}"


def test_a_forbidden_import_is_noticed(tmp_path: Path) -> None:
    culprit = tmp_path / "culprit.py"
    culprit.write_text("from gateway import store\nfrom gateway.head.mqtt import Head\nimport gateway.app.run\n")
    assert [room_of(name) for name in imports(culprit)] == ["gateway.store", "gateway.head", "gateway.app"]


PURE = (
    "edgewire.message",
    "edgewire.line",
    "edgewire.codec",
    "edgewire.iothub",
    "edgewire.session",
    "gateway.routing",
    "gateway.topics",
)
IMPURE_MODULES = {"asyncio", "socket", "time", "random", "secrets", "logging", "threading", "os", "selectors"}


@pytest.mark.parametrize(
    "path",
    [path for module, path in source_files() if module.startswith(PURE)],
    ids=lambda path: str(path)[-60:],
)
def test_no_clock_socket_task_or_log_in_the_pure_rooms(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE_MODULES


PROTOCOL_NAMES = ("mqtt", "amqp", "http", "websocket")


@pytest.mark.parametrize(
    "path",
    [
        path
        for module, path in source_files()
        if module.startswith(("gateway.dispatch", "gateway.routing", "gateway.store", "gateway.twin"))
    ],
    ids=lambda path: str(path)[-60:],
)
def test_no_protocol_name_behind_the_heads(path: Path) -> None:
    names = {
        node.id if isinstance(node, ast.Name) else node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name | ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
    }
    assert not [name for name in names if any(word in name.lower() for word in PROTOCOL_NAMES)]
