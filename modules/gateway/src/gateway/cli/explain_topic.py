"""What `explain` and `test` say of a publication to a topic: the rule that takes it, and what it becomes."""

import json
from collections.abc import Mapping
from shlex import quote
from typing import Any

from gateway.app.topic_sample import TopicSample
from gateway.routing.body import codec_of
from gateway.topics.mapping import Mapped, TopicDevices
from gateway.topics.publication import shown_topic


def topic_lines(number: int, sample: TopicSample, devices: TopicDevices | None) -> list[str]:
    """For a person: one publication, up to the message that it becomes."""
    head = f"publication {number} to '{shown_topic(sample.topic)}' ({sample.listener})"
    if sample.mapped is None:
        lines = [f"{head}: no rule takes it; it is counted, and no message"]
        return [*lines, *(f"  - {reason}" for reason in sample.reasons)]
    mapped = sample.mapped
    lines = [f"{head}: taken by {mapped.rule.place} '{mapped.rule.match.text}'{_captures(sample, mapped)}"]
    if sample.message is None:
        return [*lines, *(f"  refused, no message: {reason}" for reason in sample.reasons)]
    kind, encoding = mapped.system.get("contentType"), mapped.system.get("contentEncoding")
    lines.append(f"  device {mapped.device}, contentType {kind or 'none'}, contentEncoding {encoding or 'none'}")
    lines.append(f"  {_who_may(mapped, devices or TopicDevices())}")
    if codec_of(kind, encoding) is None:
        fix = '"contentType": "application/json", "contentEncoding": "utf-8"'
        lines.append(f"  routes do not read the body; for JSON the rule says {fix}")
    return lines


def topic_json(sample: TopicSample) -> dict[str, Any]:
    """For programs."""
    mapped = sample.mapped
    found: dict[str, Any] = {"topic": sample.topic, "listener": sample.listener, "reasons": list(sample.reasons)}
    if mapped is None:
        return {**found, "rule": None, "becomes": None}
    becomes = {"device": mapped.device, "systemProperties": dict(mapped.system)}
    if sample.message is not None:
        becomes["properties"] = dict(sample.message.envelope.properties)
    return {**found, "rule": mapped.rule.place, "becomes": None if sample.message is None else becomes}


def _captures(sample: TopicSample, mapped: Mapped) -> str:
    captured: Mapping[str, str] = mapped.rule.match.match(sample.topic.split("/")) or {}
    said = ", ".join(f"{name} is {json.dumps(text, ensure_ascii=False)}" for name, text in captured.items())
    return f" ({said})" if said else ""


def _who_may(mapped: Mapped, devices: TopicDevices) -> str:
    if devices.create:
        return f"it is made on first contact, if there are fewer than {devices.at_most} without credentials"
    return f"it must be registered: gateway devices add {quote(mapped.device)} --no-login"
