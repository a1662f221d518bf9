"""The pages say what the product does: names and values are compared, examples run, links followed."""

import argparse
import ast
import asyncio
import contextlib
import dataclasses
import importlib
import io
import os
import re
import runpy
import shlex
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest

from edgewire.message import (
    DEFAULT_PRIORITY,
    UPSTREAM,
    Delivery,
    Envelope,
    Message,
    MessageSource,
    identity,
    module_input,
)
from edgewire.session.mqtt.refusal import Refusal, connack_code
from gateway.app.settings import SETTINGS, Kind
from gateway.cli import main as cli
from gateway.dispatch.presence import Ending
from gateway.head.mqtt_words import GOODBYES, PUBACK_REASONS, REFUSALS
from gateway.observe.head import RefusedMessage
from gateway.observe.identity import RefusalReason
from gateway.store.store import Store
from gateway.store.values import AppendResult, StoreLimits
from project_sources import ROOT, source_files
from support.console import is_as_shown, steps, wanted_exit

PAGES: Final = (
    ROOT / "README.md",
    ROOT / "certs/README.md",
    ROOT / "device-firmware/README.md",
    ROOT / "device-firmware/boards/wipy/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "changes").glob("*.md")),
)
GENERATOR: Final[Mapping[str, Any]] = MappingProxyType(runpy.run_path(str(ROOT / "tools/generate_docs.py")))
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=PAGE_NAMES)


@cache
def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# --- fences and inline code -----------------------------------------------------------------------------------------

FENCE: Final = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def fences(page: Path) -> list[tuple[str, str]]:
    """Info string and text of each fenced block."""
    return [(found[1], found[2]) for found in FENCE.finditer(page.read_text(encoding="utf-8"))]


def inline_code(page: Path) -> list[str]:
    """What stands between single backquotes, outside of fences; a line end inside counts as a blank."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose)]


def fenced_commands(page: Path, program: str) -> list[str]:
    """The command lines of `program` in all fences of a page: those after '$ ', or all in a block without any."""
    found: list[str] = []
    for _, block in fences(page):
        lines = block.splitlines()
        typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        found += [line for line in typed or lines if re.match(rf"{program} [a-z-]", line)]
    return found


def words_of(line: str) -> list[str]:
    """A command line as a shell takes it apart, `\\$` and a comment included."""
    return [word.replace("\\$", "$") for word in shlex.split(line, comments=True)]


# --- links and names ------------------------------------------------------------------------------------------------


@each_page
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8")))
    relative = [target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in relative if not (page.parent / target).exists()] == []


def headings_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where it is read."""
    lines = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.strip().lower()).replace(" ", "-") for line in lines}


@each_page
def test_every_anchor_leads_to_a_heading(page: Path) -> None:
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+\.md#[^)\s]+|#[^)\s]+)\)", FENCE.sub("", page.read_text(encoding="utf-8"))):
        file, _, anchor = target.partition("#")
        if not file.startswith("http") and anchor not in headings_of(page.parent / file if file else page):
            wrong.append(target)
    assert wrong == []


@each_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    tops = (ROOT, ROOT / "modules/gateway/src", ROOT / "standin/src", ROOT / "certs/src", page.parent)
    named = [code for code in inline_code(page) if re.fullmatch(r"[\w.-]+(/[\w.-]+)+\.(py|md|json|toml|lock)", code)]
    assert [name for name in named if not any((top / name).exists() for top in tops)] == []


@each_page
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    code = [*inline_code(page), *(line.partition("#")[0] for _, block in fences(page) for line in block.splitlines())]
    named = {found for one in code for found in re.findall(r"^(?:\$ )?make ([a-z-]+)", one.strip())}
    assert named - targets == set()


@each_page
def test_every_variable_of_the_gateway_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("GATEWAY_ENDPOINT_ARCHIVE_CONNECTION_STRING", "")  # named by a user
    named = set(re.findall(r"\bGATEWAY_[A-Z_]*[A-Z]", text))
    assert named - {row.name for row in SETTINGS} == set()


@each_page
def test_every_counter_exists(page: Path) -> None:
    named = set(re.findall(r"\bgateway_[a-z_]+_total\b", page.read_text(encoding="utf-8")))
    assert named - {kind.METRIC for kind in GENERATOR["event_classes"]()} == set()


@pytest.fixture(scope="module")
def words_of_the_product() -> frozenset[str]:
    texts = [path.read_text(encoding="utf-8") for _, path in source_files()]
    return frozenset(re.findall(r"\w+", "\n".join([*texts, text_of("deployment.template.json")])))


@each_page
def test_every_event_or_class_that_is_named_exists(page: Path, words_of_the_product: frozenset[str]) -> None:
    named = {code for code in inline_code(page) if re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]+)+", code)}
    assert named - words_of_the_product == set()


# --- completeness ---------------------------------------------------------------------------------------------------


def test_the_generated_pages_are_fresh() -> None:
    assert [path.name for path in GENERATOR["stale"]()] == [], "run make docs"


def test_every_setting_has_its_row() -> None:
    assert [row.name for row in SETTINGS if f"| `{row.name}` |" not in text_of("docs/settings.md")] == []


def test_every_event_and_every_counter_has_its_row() -> None:
    page = text_of("docs/events.md")
    for kind in GENERATOR["event_classes"]():
        assert f"| `{kind.__name__}` |" in page
        assert not kind.METRIC or f"| `{kind.METRIC}`" in page


def subparsers(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The commands below a parser, none if it has none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found: Mapping[str, argparse.ArgumentParser] = action.choices
            return found
    return {}


def test_every_file_of_the_data_folder_has_its_row() -> None:
    sources = (ROOT / "modules/gateway/src/gateway").rglob("*.py")
    names = re.compile(r'^(?:[A-Z_]*FILE(?:_NAME)?|FOLDER): Final = "([^"]+)"', re.MULTILINE)
    files = {name for path in sources for name in names.findall(path.read_text(encoding="utf-8"))}
    assert {"devices.json", "users.json", "firmware", "twins.db"} <= files
    section = (ROOT / "docs/store.md").read_text(encoding="utf-8").partition("## What else is in the data folder")[2]
    assert [name for name in sorted(files) if f"`{name}`" not in section and f"`{name}/`" not in section] == []


def test_every_command_and_every_action_is_described() -> None:
    page = text_of("docs/commands.md")
    for name, parser in subparsers(cli.parser()).items():
        assert f"| `gateway {name}` |" in page
        assert f"\n## {name}\n" in page
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `gateway {name}` |")]
        for action in subparsers(parser):
            assert f"`{action}`" in row


def test_every_decision_is_in_the_list() -> None:
    folder = ROOT / "docs/decisions"
    listed = re.findall(r"\]\(([a-z-]+\.md)\)", (folder / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == sorted(path.name for path in folder.glob("*.md") if path.name != "README.md")


def test_every_page_is_reached_from_the_readme() -> None:
    reached = {ROOT / "README.md"}
    todo = list(reached)
    while todo:
        page = todo.pop()
        for target in re.findall(r"\]\(([^)\s#]+\.md)", page.read_text(encoding="utf-8")):
            found = (page.parent / target).resolve()
            if found.exists() and found not in reached:
                reached.add(found)
                todo.append(found)
    assert [str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md") if page not in reached] == []


# --- limits ---------------------------------------------------------------------------------------------------------

NOT_LIMITS: Final = MappingProxyType(
    {
        "codec.amqp.frames": {"HEADER_BYTES"},  # values of the wire, as those below
        "codec.amqp.message": {"MESSAGE_FORMAT", "MESSAGE_FORMAT_BATCH"},
        "codec.amqp.performatives": {
            *("UNSETTLED", "SETTLED", "MIXED", "FIRST", "SECOND", "UINT_MAX", "USHORT_MAX"),
            *("OK", "AUTH", "SYS", "SYS_PERM", "SYS_TEMP"),
        },
        "codec.mqtt.connect": {"BRIDGE_BIT", "IDENTIFIER_REJECTED"},  # values of the wire
        "codec.mqtt.reasons": {"FAILURE"},
        "codec.mqtt.v3": {"LAST_RETURN_CODE"},
        "head.amqp_telemetry": {"ALWAYS_FITS_BYTES"},  # below it nothing is counted
        "head.http_telemetry": {"TOO_LARGE"},  # a status
        "iothub.topics": {"NOT_A_STATUS"},
        "message": {"DEFAULT_PRIORITY"},
        "head.foreign_notes": {"VERSION", "SIZE"},  # of the format on disk
        "head.foreign_session": {"OVERHEAD_BYTES"},  # an estimate
        "firmware.book": {"VERSION"},  # of the format on disk
        "firmware.bundle": {"LENGTH_BYTES", "SIGNATURE_BYTES"},  # of the format of bundles
        "dispatch.twin_desk": {"OK", "NO_CONTENT", "TOO_LARGE", "TOO_MANY", "NOT_SERVED", "AWAY"},  # statuses
        "twin.mirror": {"FIRST_VERSION"},  # the hub's
        "twin.opening": {"VECTOR_BYTES"},  # of the format on disk, as those below
        "twin.record": {"VERSION"},
        "twin.sealing": {"KEY_BYTES", "NONCE_BYTES"},
        "transport.listener": {"FIRST_UNPRIVILEGED_PORT"},
        "transport.tls_engine": {"RECORD_BYTES", "HANDSHAKE_RECORD"},  # TLS's own
        "transport.tls_openssl": {"OUTPUT_BYTES"},
        "app.configuration": {"FORMAT"},
        "app.hub_service": {"HTTPS_PORT"},
        "app.sending_trial": {  # arithmetic of IoT Hub's meter, and of a trial's time
            *("DAY_S", "START_S", "BLOCK_BYTES", "FREE_BLOCK_BYTES", "ENTRY_ID_CHARS", "LEAF_NAME_CHARS"),
        },
        "sending.aggregate": {"FORMAT"},
        "sending.batch": {"FRAME_BYTES"},  # JSON's brackets
        "sending.how": {"FORMAT"},
        "app.latest_time": {"BUILT_AT"},
        "app.reported": {"GOOD", "BAD"},
        "cli.routes_input": {"EXIT_YES", "EXIT_NO", "EXIT_UNREADABLE"},
        "cli.run": {"DONE", "FAULT", "UNUSABLE"},
        "app.limits": {"_FORMAT"},
        "app.watchdog": {"STUCK", "STANDARD_OUTPUT", "STANDARD_ERROR"},  # an exit code, descriptors
        "dispatch.allowance": {"DAY_S"},
        "cli.doctor": {"WIDTH"},
        "doctor.places": {"MQTTS_PORT", "KAFKA_PORT"},
        "doctor.room": {
            "IDLE_BYTES",
            "PER_CONNECTION_BYTES",
            "WORK_BYTES",
        },  # measures, as docs/performance.md has them
        "head.subscriptions": {"NOT_AUTHORIZED", "SUCCESS", "NO_SUBSCRIPTION_EXISTED", "MQTT5"},
        "app.devices_upstream": {"AMQPS_PORT", "WEBSOCKET_PORT"},
        "app.provisioning": {"HTTPS_PORT"},
        "dispatch.provisioning_answers": {  # codes of the service
            *("BAD_REQUEST", "UNAUTHORIZED", "NOT_FOUND", "NOT_ALLOWED", "TOO_LARGE", "THROTTLED", "AWAY"),
        },
        "identity.memory_file": {"VERSION"},
        "iothub.bootstrap": {"SEALED_KEY_BYTES"},  # an HMAC's length
        "identity.anchor": {"PINNED_EXPONENT"},
        "identity.claim_codes": {"VERSION"},
        "identity.publisher_hubs": {"VERSION"},
        "iothub.minting": {"NONCE_BYTES"},  # of the form of nonces
        "identity.roster": {"VERSION"},
        "identity.users": {"VERSION"},
        "identity.passwords": {"BLOCK", "ROOM", "SALT_BYTES", "HASH_BYTES", "NEW_PASSWORD_BYTES"},  # scrypt's measures
        "broker.messages": {"MAX_QOS"},  # MQTT's number for it
        "app.plain": {"SIOCGIFADDR"},
        "upstream.amqp_lane": {"SECTION_BYTES"},  # of the wire
        "transport.proxy": {"DEFAULT_PORT"},
        "session.amqp.serial": {"HALF", "MASK"},  # the arithmetic of 32 bits
        "store.checkpoint": {"NO_DAMAGE"},  # of the format on disk, as those below
        "line.records": {"NO_LIMIT", "PARTS"},
        "store.record": {"CHECKED_FROM", "NEVER"},
        "store.segment": {"VERSION"},
    }
)
"""Numbers with a name that bound nothing: every other one must be in docs/limits.md."""

LIMIT_CLASS: Final = re.compile(r"\w+(?:Limits|Times|Window)|Window")


def shown(value: object) -> str:
    """A value as the page writes it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case Enum():
            return str(value.value)
        case frozenset():
            return ", ".join(map(str, sorted(value)))
        case float() if value != int(value):
            return f"{value:.3g}"
        case _:
            assert isinstance(value, int | float)
            return f"{int(value):,}"


def short(module: str) -> str:
    return module.removeprefix("edgewire.").removeprefix("gateway.")


@cache
def limits() -> tuple[tuple[str, object], ...]:
    """Every limit of the product by the name it has on the page, with its value in the code."""
    found: list[tuple[str, object]] = [
        (row.name, int(row.default)) for row in SETTINGS if row.kind in (Kind.COUNT, Kind.SECONDS)
    ]
    for module, path in source_files():
        if module.startswith(("edgewire", "edgepage", "gateway")):
            found += limits_of(module, ast.parse(path.read_text(encoding="utf-8")))
    return tuple(found)


def limits_of(module: str, tree: ast.Module) -> Iterator[tuple[str, object]]:
    names = [
        node.target.id for node in tree.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    for node in tree.body:
        if isinstance(node, ast.Assign):
            names += [target.id for target in node.targets if isinstance(target, ast.Name)]
    bounding = [name for name in names if re.fullmatch(r"[A-Z][A-Z0-9_]*|_MAX_[A-Z0-9_]+", name)]
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef) and LIMIT_CLASS.fullmatch(node.name)]
    for name in bounding:
        value = getattr(importlib.import_module(module), name)
        if type(value) in (int, float) and name not in NOT_LIMITS.get(short(module), ()):
            yield f"{short(module)}.{name}", value
    for name in classes:
        yield from fields_of(name, getattr(importlib.import_module(module), name)())


def fields_of(name: str, value: Any) -> Iterator[tuple[str, object]]:
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name)
        if dataclasses.is_dataclass(inner):
            yield from fields_of(f"{name}.{field.name}", inner)
        else:
            yield f"{name}.{field.name}", inner


@cache
def rows_of_limits() -> dict[str, str]:
    rows = re.findall(r"^\| `([\w.]+)` \| ([^|]+) \| [^|]+ \| [^|]+ \|$", text_of("docs/limits.md"), re.MULTILINE)
    assert len({name for name, _ in rows}) == len(rows)
    return dict(rows)


@pytest.mark.parametrize(("name", "value"), limits(), ids=lambda value: str(value)[-60:])
def test_a_limit_stands_on_its_page_with_its_value(name: str, value: object) -> None:
    rows = rows_of_limits()
    assert name in rows, f"docs/limits.md has no row for {name}; or is it no limit (NOT_LIMITS)?"
    assert re.fullmatch(rf"{re.escape(shown(value))}(?: [a-z ]+)?", rows[name]), f"{name} is {shown(value)}"


def test_the_page_of_limits_names_nothing_that_is_gone() -> None:
    assert set(rows_of_limits()) - {name for name, _ in limits()} == set()


def test_what_is_said_to_be_no_limit_is_still_there() -> None:
    for module, path in source_files():
        for name in NOT_LIMITS.get(short(module), ()):
            assert re.search(rf"^{name}\b", path.read_text(encoding="utf-8"), re.MULTILINE), f"{module} has no {name}"


@each_page
def test_figures_beside_a_refusal_are_those_of_the_code(page: Path) -> None:
    """Sizes that pages for users repeat in their prose."""
    known = {shown(value) for _, value in limits()}
    figures = re.findall(r"\b(\d{1,3}(?:,\d{3})+) (?:bytes|devices|connections)\b", page.read_text(encoding="utf-8"))
    # Advice, the design's aim, a board's heap in the tests and its own.
    others = {"260,000", "1,000", "32,000", "38,912"}
    assert set(figures) - known - others == set()


# --- refusals -------------------------------------------------------------------------------------------------------

LOGIN_ROWS: Final = MappingProxyType(
    {
        "the user name fits no form": RefusalReason.MALFORMED_USERNAME,
        "wrong, expired or foreign token": RefusalReason.WRONG_KEY,
        "more than 10,000 devices": RefusalReason.GROUP_FULL,
        "a will on a topic": RefusalReason.FOREIGN_WILL,
        "an unknown device while the hub cannot be asked": RefusalReason.UPSTREAM_AWAY,
    }
)
MESSAGE_ROWS: Final = MappingProxyType(
    {
        "topic of another device": {RefusedMessage.FOREIGN_DEVICE},
        "unknown topic, malformed properties": {RefusedMessage.UNKNOWN_TOPIC, RefusedMessage.MALFORMED_PROPERTIES},
        "message over": {RefusedMessage.TOO_LARGE},
        "more than the settings allow": {RefusedMessage.OVER_LIMIT},
        "store full": {RefusedMessage.STORE_FULL},
        "the disk does not take it": {RefusedMessage.STORE_FAILED},
    }
)
GOODBYE_ROWS: Final = MappingProxyType(
    {
        "token expired while connected": Ending.TOKEN_EXPIRED,
        "removed, disabled": Ending.CREDENTIALS_CHANGED,
        "the same id connects again": Ending.TAKEN_OVER,
        "the gateway stops": Ending.SHUTDOWN,
    }
)


def codes_of(start: str) -> tuple[str, str]:
    """What docs/devices.md says that MQTT 3.1.1 and MQTT 5 answer, in the row that begins so."""
    (row,) = [line for line in text_of("docs/devices.md").splitlines() if line.startswith(f"| {start}")]
    return row.split(" | ")[1], row.split(" | ")[2].removesuffix(" |")


@pytest.mark.parametrize(("row", "reason"), LOGIN_ROWS.items())
def test_the_page_of_devices_tells_how_a_login_is_refused(row: str, reason: RefusalReason) -> None:
    refusal = REFUSALS.get(reason, Refusal.NOT_AUTHORIZED)
    assert codes_of(row) == (f"CONNACK {connack_code(refusal, 4)}", f"0x{connack_code(refusal, 5):02X}")


@pytest.mark.parametrize(("row", "reasons"), MESSAGE_ROWS.items())
def test_the_page_of_devices_tells_how_a_message_is_refused(row: str, reasons: set[RefusedMessage]) -> None:
    assert {f"PUBACK 0x{PUBACK_REASONS[reason]:02X}" for reason in reasons} == {codes_of(row)[1]}


@pytest.mark.parametrize(("row", "ending"), GOODBYE_ROWS.items())
def test_the_page_of_devices_tells_how_a_connection_ends(row: str, ending: Ending) -> None:
    assert codes_of(row)[1] == f"DISCONNECT 0x{GOODBYES[ending][1]:02X}"


def test_every_way_to_refuse_has_its_row() -> None:
    assert set(REFUSALS) <= set(LOGIN_ROWS.values())
    assert set().union(*MESSAGE_ROWS.values()) == set(PUBACK_REASONS)
    assert set(GOODBYE_ROWS.values()) == set(GOODBYES)


# --- commands -------------------------------------------------------------------------------------------------------

PLACEHOLDER: Final = re.compile(r"[A-Z…\[\]|]")


def unknown_command(words: list[str]) -> str:
    """The first word of a command line that the parser does not have; empty if all are known."""
    parser = cli.parser()
    for word in words:
        known = subparsers(parser)
        if not known or PLACEHOLDER.search(word) or word.startswith("-"):
            break
        if word not in known:
            return word
        parser = known[word]
    options = {option for action in parser._actions for option in action.option_strings}
    return next((word for word in words if word.startswith("--") and word not in options), "")


@each_page
def test_every_command_in_the_text_exists(page: Path) -> None:
    lines = [code for code in inline_code(page) if re.match(r"gateway [a-z]", code)]
    assert [line for line in lines if unknown_command(line.split()[1:])] == []


@each_page
def test_every_command_line_is_one_that_the_gateway_takes(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line in fenced_commands(page, "gateway"):
        try:
            cli.parser().parse_args(words_of(line)[1:])
        except SystemExit:
            pytest.fail(f"{line}\n{capsys.readouterr().err}")


# --- examples -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the examples of a page run one after the other: the repository's files, a store, a damaged store."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("docs", "deployment.template.json"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("data", "damaged"):
        (folder / name / "store").mkdir(parents=True)
        asyncio.run(fill(folder / name / "store"))
    (segment,) = (folder / "damaged/store").glob("*.segment")
    with segment.open("r+b") as file:
        file.seek(400)
        file.write(b"?")
    return folder


async def fill(directory: Path) -> None:
    """43 messages, 40 of them for two endpoints."""
    boiler = Envelope(sender=identity("boiler"), properties={}, system={}, source=MessageSource.TELEMETRY)
    urgent = (Delivery(UPSTREAM, 0, 86_400),)
    rest = (
        Delivery(UPSTREAM, DEFAULT_PRIORITY, 7200),
        Delivery(module_input("detector", "raw"), DEFAULT_PRIORITY, 7200),
    )
    batch = [(Message(boiler, bytes(200)), urgent)] * 3 + [(Message(boiler, bytes(200)), rest)] * 40
    store = Store.open(directory, StoreLimits(), lambda _event: None)
    stored: asyncio.Future[AppendResult] = asyncio.get_running_loop().create_future()
    store.append(batch, stored.set_result)
    assert await stored is AppendResult.STORED
    await store.close()


def run_command(line: str) -> tuple[int, str]:
    """Exit code and all output of a command, run here."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(words_of(line)[1:])
    return code, said.getvalue()


@pytest.fixture
def at_site(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site)
    for name in list(os.environ):
        if name.startswith(("GATEWAY_", "IOTEDGE_")):
            monkeypatch.delenv(name)


@pytest.mark.usefixtures("at_site")
@pytest.mark.parametrize(("name", "least"), [("docs/commands.md", 10), ("docs/topics.md", 1), ("docs/routes.md", 1)])
def test_the_examples_of_the_commands_do_what_is_shown(name: str, least: int) -> None:
    consoles = [found for found in fences(ROOT / name) if found[0].startswith("console")]
    assert len(consoles) >= least
    for info, block in consoles:
        for line, output in steps(block):
            code, said = run_command(line)
            assert code == wanted_exit(info), f"{line}\n{said}"
            assert output.strip(), f"{line}: show what it says"
            assert is_as_shown(said, output), f"{line}\n{said}"


@pytest.mark.usefixtures("at_site")
def test_the_commands_of_the_readme_do_what_they_promise() -> None:
    lines = [line for line in fenced_commands(ROOT / "README.md", "gateway") if words_of(line)[1] != "run"]
    assert lines
    for line in lines:
        code, said = run_command(line)
        assert code == 0, f"{line}\n{said}"
        assert said.strip()


@pytest.mark.parametrize("name", ["routes.json", "hot.json", "topics.json", "site.json"])
def test_the_examples_are_used_in_a_page(name: str) -> None:
    assert any(f"docs/examples/{name}" in page.read_text(encoding="utf-8") for page in PAGES)
