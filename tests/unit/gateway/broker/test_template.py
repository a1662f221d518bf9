import pytest

from edgewire.message import Envelope, identity
from gateway.broker.template import TemplateError, TopicTemplate, UnfilledError

SENDER = Envelope(
    sender=identity("d1"),
    properties={"kind": "temp", "topic": "site/a/b", "none": None, "deep": "a/b", "wild": "a+", "half": "\ud800"},
    system={},
)


@pytest.mark.parametrize(
    ("text", "topic"),
    [
        ("alerts/{device}", "alerts/d1"),
        ("from/{topic}", "from/site/a/b"),
        ("{kind}/{device}", "temp/d1"),
        ("all", "all"),
        ("{{x}}", "{x}"),
    ],
)
def test_placeholders_are_filled(text: str, topic: str) -> None:
    assert TopicTemplate(text).fill(SENDER) == topic


@pytest.mark.parametrize("text", ["{module}", "{missing}", "{none}", "{deep}", "x/{wild}", "{half}"])
def test_a_message_of_which_no_topic_comes_is_told_apart(text: str) -> None:
    with pytest.raises(UnfilledError, match=text.strip("x/{}") if text != "{half}" else "topic would be"):
        TopicTemplate(text).fill(SENDER)


def test_no_message_may_speak_as_the_server() -> None:
    envelope = Envelope(sender=identity("d1"), properties={"topic": "$SYS/x"}, system={})
    with pytest.raises(UnfilledError, match="server's own"):
        TopicTemplate("{topic}").fill(envelope)


def test_a_module_has_its_own_placeholder() -> None:
    envelope = Envelope(sender=identity("d1", "m1"), properties={}, system={})
    assert TopicTemplate("{device}/{module}").fill(envelope) == "d1/m1"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("", "alerts"),
        ("$SYS/x", "leave out"),
        ("a/#", "application property"),
        ("a/+/b", "application property"),
        ("a/{device", "{name}"),
        ("a/{}", "{name}"),
        ("a\0b", "application property"),
    ],
)
def test_a_text_of_which_no_topic_can_come_is_refused_with_what_to_write(text: str, fix: str) -> None:
    with pytest.raises(TemplateError) as refused:
        TopicTemplate(text)
    assert fix in refused.value.fix


def test_it_knows_its_placeholders() -> None:
    assert TopicTemplate("a/{device}/{x}").names == {"device", "x"}
