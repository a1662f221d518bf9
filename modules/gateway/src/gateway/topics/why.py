"""Why a rule does not take a topic, for the person who wrote it."""

from gateway.topics.mapping import TopicRule
from gateway.topics.pattern import Pattern


def why_not(rule: TopicRule, listener: str, topic: str) -> str:
    """What differs; empty if the rule takes the topic."""
    if not rule.serves(listener):
        return f'it is for topics of "{rule.listener}", and this is one of "{listener}"'
    pattern = rule.match
    levels = topic.split("/")
    if pattern.match(levels) is not None:
        return ""
    return _first_difference(pattern, levels) or _count_difference(pattern, len(levels))


def _first_difference(pattern: Pattern, levels: list[str]) -> str:
    if pattern.first is None and levels[0][:1] == "$":
        return "a wildcard at the start takes no topic that begins with '$'"
    for place, literal in pattern.literals:
        if place < len(levels) and levels[place] != literal:
            case = ", in other letters: topics differ by case" if levels[place].lower() == literal.lower() else ""
            return f"level {place + 1} is '{levels[place]}', not '{literal}'{case}"
    return ""


def _count_difference(pattern: Pattern, count: int) -> str:
    least = "at least " if pattern.takes_rest else ""
    return f"the topic has {_levels(count)}, the pattern {least}{_levels(pattern.depth)}"


def _levels(count: int) -> str:
    return "1 level" if count == 1 else f"{count} levels"
