"""Every event class: says a sentence, counts under a good name, labels by closed sets."""

import importlib
import pkgutil
import re
from dataclasses import fields
from enum import Enum
from typing import get_type_hints

import pytest

from gateway import observe
from gateway.observe.events import Event, Level


def event_classes() -> list[type[Event]]:
    modules = [
        importlib.import_module(f"gateway.observe.{each.name}") for each in pkgutil.iter_modules(observe.__path__)
    ]
    members = {member for module in modules for member in vars(module).values() if isinstance(member, type)}
    return sorted(
        (kind for kind in members if issubclass(kind, Event) and kind is not Event), key=lambda kind: kind.__name__
    )


@pytest.mark.parametrize("kind", event_classes())
def test_the_metric_is_named_noun_unit_total(kind: type[Event]) -> None:
    assert not kind.METRIC or re.fullmatch(r"gateway_[a-z_]+_total", kind.METRIC)


NAMED_BY_THE_OPERATOR = {"endpoint"}  # as many as the routes name; no device can add one


@pytest.mark.parametrize("kind", event_classes())
def test_labels_are_fields_of_closed_sets(kind: type[Event]) -> None:
    types = get_type_hints(kind)
    assert set(kind.LABELS) <= {field.name for field in fields(kind)}
    for label in set(kind.LABELS) - NAMED_BY_THE_OPERATOR:
        assert isinstance(types[label], type), label
        assert issubclass(types[label], Enum), label


@pytest.mark.parametrize("kind", event_classes())
def test_every_class_says_its_own_sentence(kind: type[Event]) -> None:
    assert kind.sentence is not Event.sentence
    assert kind.LEVEL in Level


def test_two_classes_never_share_a_metric() -> None:
    metrics = [kind.METRIC for kind in event_classes() if kind.METRIC]
    assert len(metrics) == len(set(metrics))
