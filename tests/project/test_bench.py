"""The benchmark's own arithmetic, its report and its plan."""

import json
import socket
from pathlib import Path

import pytest
from sidebyside.amqp import BATCHES, LOADS, SPEAKERS, speakers_of, to_durable_rabbitmq, to_gateway
from sidebyside.figures import Row, Spread, ratios, spread, values_of
from sidebyside.load import Generator, limited_by, read_figures
from sidebyside.machine import BenchError, usage_of
from sidebyside.plan import FULL, QUICK, Extent, load_name, plan
from sidebyside.programs import running
from sidebyside.rabbitmq import environment_of
from sidebyside.report import LAYOUTS, markdown, summary
from sidebyside.site import Site
from stages import samples, stage_of


def row(target: str, number: int, **values: float) -> Row:
    return Row(measure="ingest", case="1 x 1, 256 B", target=target, round=number, values=values)


ROWS = [
    row("mosquitto", 0, per_s=100.0, server_cpu_us=4.0),
    row("gateway", 0, per_s=150.0, server_cpu_us=8.0),
    row("mosquitto", 1, per_s=200.0),
    row("gateway", 1, per_s=100.0),
    row("gateway", 2, per_s=999.0),
]


def test_a_spread_is_the_median_and_its_bounds() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(median=2.0, least=1.0, most=3.0, count=3)
    assert spread([]) is None


def test_ratios_are_taken_inside_a_round_and_only_where_both_were_measured() -> None:
    assert ratios(ROWS, "gateway", "mosquitto", "per_s") == [1.5, 0.5]
    assert ratios(ROWS, "gateway", "amqtt", "per_s") == []


def test_an_anchor_of_zero_gives_no_ratio() -> None:
    assert ratios([row("a", 0, per_s=0.0), row("b", 0, per_s=1.0)], "b", "a", "per_s") == []


def test_values_leave_out_rounds_without_the_figure() -> None:
    assert values_of(ROWS, "mosquitto", "server_cpu_us") == {0: 4.0}


def test_who_was_the_limit_is_told_by_the_cores() -> None:
    assert limited_by({"server_cores": 1.0, "generator_cores": 1.0}) == "server"
    assert limited_by({"server_cores": 0.5, "generator_cores": 0.99}) == "generator"
    assert limited_by({"server_cores": 0.5, "generator_cores": 0.5}) == "neither"


def test_words_of_the_generator_are_left_out_of_its_figures() -> None:
    assert read_figures('{"mode": "publish", "done": 3, "p50_us": 1.5}') == {"done": 3.0, "p50_us": 1.5}
    assert read_figures("") == {}


def test_the_table_has_medians_spread_and_ratios() -> None:
    text = markdown({"processor": "two of something"}, ROWS, ["round 1: it rained"])
    assert "| gateway | 150 [100 .. 999] | 8.0 | 1.00 [0.50 .. 1.50] | 0.50 |" in text
    assert "| mosquitto | 150 [100 .. 200] | 4.0 | 1.00 [1.00 .. 1.00] | 1.00 |" in text
    assert "- processor: two of something" in text
    assert text.endswith("- round 1: it rained\n")


def test_the_summary_can_be_written_as_json() -> None:
    entries = json.loads(json.dumps(summary(ROWS)))
    assert [entry["target"] for entry in entries] == ["mosquitto", "gateway"]
    assert entries[1]["ratio"]["median"] == 1.0
    assert entries[1]["per_core"]["median"] == 0.5
    assert entries[1]["figures"]["per_s"]["count"] == 3


@pytest.mark.parametrize("extent", [FULL, QUICK], ids=["full", "quick"])
def test_every_step_has_a_layout_and_an_anchor_beside_it(extent: Extent) -> None:
    steps = list(plan(extent, Path("backlog")))
    assert {step.measure for step in steps} == set(LAYOUTS)
    names = [(step.measure, step.case, step.target) for step in steps]
    assert len(names) == len(set(names))
    for measure, layout in LAYOUTS.items():
        targets = {step.target for step in steps if step.measure == measure}
        assert layout.anchor in targets or (measure == "slow disk" and extent is QUICK), measure


def test_a_batch_is_for_those_who_know_its_format() -> None:
    assert speakers_of(LOADS[0]) == SPEAKERS
    assert [speaker.target.name for speaker in speakers_of(BATCHES)] == ["gateway", "gateway, compiled"]
    assert load_name(BATCHES) == "10 x 4, batches of 100 x 256 B"


def test_a_load_over_amqp_says_who_it_is_and_where_it_sends() -> None:
    generator = Generator(Path("amqpload"), Site(Path("site")))
    to_ours = generator.command("publish", 5671, to_gateway(LOADS[0]), None)
    assert to_ours[to_ours.index("--user") + 1] == "{device}@sas.bench-hub"
    assert not {"--host", "--password", "--durable", "--topic", "--tls"} & set(to_ours)
    to_theirs = generator.command("publish", 5672, to_durable_rabbitmq(LOADS[0]), None)
    pairs = dict(zip(to_theirs[5::2], to_theirs[6::2], strict=True))
    assert [pairs[name] for name in ("--host", "--durable", "--topic")] == ["127.0.0.62", "1", "/queue/{device}"]


def test_a_node_of_ours_keeps_everything_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_CONFIG_FILE", "/etc/rabbitmq/rabbitmq.conf")
    monkeypatch.setenv("RABBITMQ_USE_LONGNAME", "true")
    environment = environment_of(tmp_path, 4369)
    assert environment["RABBITMQ_USE_LONGNAME"] == ""
    places = {name: value for name, value in environment.items() if value.startswith("/")}
    assert len(places) == 6
    assert all(Path(value).is_relative_to(tmp_path) for value in places.values())


def test_usage_of_this_process_is_positive() -> None:
    with Path("/proc/self/stat").open() as own:
        usage = usage_of(int(own.read().split()[0]))
    assert usage.cpu_s > 0
    assert usage.resident_kb > 1_000


def test_a_program_that_ends_at_once_says_why(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo no such luck; exit 3"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: nor can anybody else
        port = taken.getsockname()[1]
        with (
            pytest.raises(BenchError, match="no such luck"),
            running(command, core="0", port=port, log=tmp_path / "log"),
        ):
            pass


def test_a_sample_belongs_to_the_innermost_room() -> None:
    text = (
        "thread (7): MainThread;main (gateway_plain.py:1);Table.match (gateway/routing/table.py:9);loads (x.py:1) 5\n"
        "thread (8): other;main (gateway_plain.py:1) 3\n"
        "broken line\n"
    )
    found = list(samples(text))
    assert [(stage_of(frames), count) for frames, count in found] == [("routes: match", 5)]
