import pytest

from gateway.topics.mapping import TopicRule
from gateway.topics.pattern import parse_pattern
from gateway.topics.template import parse_template
from gateway.topics.why import why_not


@pytest.mark.parametrize(
    ("match", "listener", "topic", "why"),
    [
        ("site/+room", "plain", "site/lab", ""),
        ("site/+room", "broker", "site/lab", 'for topics of "plain", and this is one of "broker"'),
        ("site/+room", "plain", "Site/lab", "level 1 is 'Site', not 'site', in other letters"),
        ("site/+room/door", "plain", "site/lab/window", "level 3 is 'window', not 'door'"),
        ("site/+room", "plain", "site", "the topic has 1 level, the pattern 2 levels"),
        ("site/+room/#", "plain", "site", "the topic has 1 level, the pattern at least 2 levels"),
        ("#", "plain", "$SYS/x", "begins with '$'"),
    ],
)
def test_what_differs_is_said(match: str, listener: str, topic: str, why: str) -> None:
    rule = TopicRule(place="topics[0]", match=parse_pattern(match), device=parse_template("x"), listener="plain")
    said = why_not(rule, listener, topic)
    assert why in said
    assert bool(said) is bool(why)
