"""Topic filters: what they match, and which of them another one covers. Spec: MQTT 3.1.1 §4.7, MQTT 5 §4.7."""

ONE_LEVEL = "+"
REST = "#"


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter matches a topic. A wildcard in the first level matches no topic that begins with `$`."""
    if topic_filter == topic:
        return True
    if topic.startswith("$") and topic_filter[:1] in (ONE_LEVEL, REST):
        return False  # MQTT311-4.7.2-1, MQTT5-4.7.2-1
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == REST:
        wanted.pop()
        if len(levels) < len(wanted):  # `a/#` matches `a` too (§4.7.1.2), and not what is above it
            return False
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        one in (ONE_LEVEL, level) for one, level in zip(wanted, levels, strict=True)
    )


def covers(pattern: str, topic_filter: str) -> bool:
    """Whether `pattern` matches every topic that `topic_filter` matches: who may read the one may subscribe the other.

    A topic is a filter without wildcards, so this tells too who may publish.
    """
    if topic_filter.startswith("$") and pattern[:1] in (ONE_LEVEL, REST):
        return False
    allowed, asked = pattern.split("/"), topic_filter.split("/")
    if allowed[-1] == REST:
        allowed.pop()
        if asked[-1] == REST:
            asked.pop()
        if len(asked) < len(allowed):
            return False
        asked = asked[: len(allowed)]
    elif asked[-1] == REST:
        return False
    return len(allowed) == len(asked) and all(
        one in (ONE_LEVEL, level) for one, level in zip(allowed, asked, strict=True)
    )


def is_system(topic: str) -> bool:
    """Whether it is a topic of the server's own, which no wildcard in the first level matches."""
    return topic.startswith("$")


def has_wildcard(topic_filter: str) -> bool:
    """Whether a filter may match more than one topic."""
    return topic_filter.endswith(REST) or ONE_LEVEL in topic_filter
