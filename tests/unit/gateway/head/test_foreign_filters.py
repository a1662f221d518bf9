"""Overlapping filters are left out: a broker may deliver a message once for each that matches."""

import pytest

from gateway.head.foreign_filters import covers, needed_filters


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/+", "a/b", True),
        ("a/#", "a", True),  # MQTT 3.1.1 §4.7.1.2: the parent, too
        ("a/#", "a/b/c", True),
        ("a/#", "a/+/#", True),
        ("#", "a/b", True),
        ("+/b", "a/b", True),
        ("a/b", "a/+", False),
        ("a/+", "a/#", False),
        ("a/+", "a/b/c", False),
        ("a/b/c", "a/b", False),
        ("#", "$SYS/x", False),  # §4.7.2
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
    ],
)
def test_what_covers_what(wide: str, narrow: str, *, expected: bool) -> None:
    assert covers(wide, narrow) is expected


@pytest.mark.parametrize(
    ("wanted", "needed"),
    [
        ([], ()),
        (["a", "a"], ("a",)),
        (["a/b", "a/#", "c"], ("a/#", "c")),
        (["a/+/c", "a/b/+"], ("a/+/c", "a/b/+")),  # they overlap, and neither covers the other
        (["a/#", "$share/g/a/#"], ("$share/g/a/#",)),
        (["$share/g/a/b", "a/#"], ("a/#",)),
        (["$share/g/a/#", "$share/h/a/#"], ("$share/g/a/#", "$share/h/a/#")),
    ],
)
def test_as_few_as_hear_all_are_asked_for(wanted: list[str], needed: tuple[str, ...]) -> None:
    assert needed_filters(wanted) == needed
