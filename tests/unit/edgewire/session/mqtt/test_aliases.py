import pytest

from edgewire.codec.mqtt.reasons import ReasonCode
from edgewire.errors import ProtocolError
from edgewire.session.mqtt.aliases import TopicAliases


def test_an_alias_stands_for_the_topic_it_was_set_with_last() -> None:
    aliases = TopicAliases(2)
    assert aliases.resolve(1, "a") == "a"
    assert aliases.resolve(2, "b") == "b"
    assert aliases.resolve(1, "") == "a"
    assert aliases.resolve(1, "c") == "c"
    assert aliases.resolve(1, "") == "c"


@pytest.mark.parametrize(
    ("alias", "topic", "reply"),
    [(3, "a", ReasonCode.TOPIC_ALIAS_INVALID), (1, "", ReasonCode.PROTOCOL_ERROR)],
)
def test_an_alias_over_the_maximum_or_never_set_is_refused(alias: int, topic: str, reply: ReasonCode) -> None:
    with pytest.raises(ProtocolError) as caught:
        TopicAliases(2).resolve(alias, topic)
    assert caught.value.reply == reply
