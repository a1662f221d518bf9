"""The dashboard, the alerts and the pages name metrics that there are, with labels that they have."""

import json
import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

import generate_metrics
import pytest
import yaml  # type: ignore[import-untyped] # no stubs of it are among the peers
from generate_docs import event_classes

from gateway.observe.edgehub import COMMON
from gateway.observe.metrics import MetricType
from project_sources import ROOT

DOCS: Final = ROOT / "docs"
NAME: Final = re.compile(r"\b(?:gateway|edgehub|process)_[a-z0-9_]+")
SCRAPE: Final = {"instance", "job", "le"}
"""Labels that Prometheus, or a histogram, adds."""
OF_PROMETHEUS: Final = {"up"}


def labels_by_name() -> Mapping[str, AbstractSet[str]]:
    """Every series that can be asked for, with its labels."""
    found: dict[str, AbstractSet[str]] = {kind.METRIC: set(kind.LABELS) for kind in event_classes() if kind.METRIC}
    for name, (kind, labels, _) in generate_metrics.families().items():
        ends = {MetricType.HISTOGRAM: ("_bucket", "_sum", "_count"), MetricType.SUMMARY: ("_sum", "_count")}
        for end in ends.get(kind, ("",)):
            found[name + end] = set(labels)
    return found


KNOWN: Final = labels_by_name()


def dashboard() -> Any:
    return json.loads((DOCS / "grafana/gateway.json").read_text(encoding="utf-8"))


def alerts() -> list[Any]:
    document = yaml.safe_load((DOCS / "prometheus/alerts.yml").read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    """Where an expression stands, and the expression."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']}: {target['legendFormat']}", target["expr"]
    for rule in alerts():
        yield rule["alert"], rule["expr"]


@pytest.mark.parametrize(("place", "expression"), list(expressions()), ids=lambda value: str(value)[:40])
def test_an_expression_asks_for_what_there_is(place: str, expression: str) -> None:
    names = set(NAME.findall(expression))
    assert names or OF_PROMETHEUS & set(re.findall(r"\w+", expression)), place
    assert names - set(KNOWN) == set(), place
    asked = {label.strip() for inside in re.findall(r"by \(([^)]*)\)", expression) for label in inside.split(",")}
    there = set().union(SCRAPE, *(KNOWN[name] for name in names))
    assert asked - there == set(), place
    assert expression.count("(") == expression.count(")")


def test_the_dashboard_can_be_imported() -> None:
    document = dashboard()
    (source,) = document["__inputs"]
    assert (source["name"], source["type"], source["pluginId"]) == ("DS_PROMETHEUS", "datasource", "prometheus")
    assert document["id"] is None
    assert document["title"]
    assert document["uid"]
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Flow", "Store", "Upstream", "Devices", "Certificates", "Process"]
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${DS_PROMETHEUS}"}
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    taken = [
        (row, column)
        for panel in panels
        for row in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
        for column in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
    ]
    assert len(set(taken)) == len(taken), "panels lie over each other"


def test_every_alert_says_what_to_do_and_names_labels_that_it_has() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        summary, advice = rule["annotations"]["summary"], rule["annotations"]["advice"]
        assert advice.endswith(".")
        names = set(NAME.findall(rule["expr"]))
        there = set().union(SCRAPE, *(KNOWN[name] for name in names))
        assert set(re.findall(r"\$labels\.(\w+)", summary)) - there == set(), rule["alert"]


def test_an_alert_hears_the_first_count_of_a_counter_that_was_not_there_before() -> None:
    """A counter appears with what it counts first: `increase` says 0 then, and `+` nothing while one is missing."""
    for rule in alerts():
        for name in re.findall(r"increase\((\w+)", rule["expr"]):
            assert f"{name} unless {name} offset" in rule["expr"], rule["alert"]
        if "_total" in rule["expr"]:
            assert not re.search(r"\)\s*[-+*/]", rule["expr"]), rule["alert"]


def test_the_scrape_configuration_takes_our_alerts_and_our_port() -> None:
    document = yaml.safe_load((DOCS / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert [(DOCS / "prometheus" / file).exists() for file in document["rule_files"]] == [True]
    (job,) = document["scrape_configs"]
    assert job["job_name"] == "edge-gateway"
    assert job["static_configs"] == [{"targets": ["127.0.0.1:9600"]}]


def test_no_two_metrics_have_one_name() -> None:
    """OpenMetrics leaves `_total` out of a family's name."""
    counters = [kind.METRIC for kind in event_classes() if kind.METRIC]
    families = [*dict.fromkeys(counters), *generate_metrics.families()]
    bare = [name.removesuffix("_total") for name in families]
    assert sorted({name for name in bare if bare.count(name) > 1}) == []


def test_edge_hubs_names_have_edge_hubs_common_labels() -> None:
    for name, (_, labels, summary) in generate_metrics.families().items():
        assert name.startswith("edgehub_") == (set(COMMON) <= set(labels)), name
        assert summary, name
