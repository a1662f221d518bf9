"""Ids go round at 2^32 (RFC 1982), and lists of them become ranges."""

from collections.abc import Sequence

import pytest

from edgewire.session.amqp.serial import HALF, MASK, distance, ranges


@pytest.mark.parametrize(
    ("start", "end", "steps"),
    [(0, 0, 0), (0, 5, 5), (5, 0, -5), (MASK, 0, 1), (0, MASK, -1), (MASK - 2, 3, 6), (0, HALF - 1, HALF - 1)],
)
def test_the_distance_is_the_shorter_way_round(start: int, end: int, steps: int) -> None:
    assert distance(start, end) == steps


@pytest.mark.parametrize(
    ("numbers", "runs"),
    [
        ([], []),
        ([7], [(7, 7)]),
        ((1, 2), [(1, 2)]),
        ([1, 2, 3], [(1, 3)]),
        ([1, 2, 4, 5, 9], [(1, 2), (4, 5), (9, 9)]),
        ([3, 2, 1], [(3, 3), (2, 2), (1, 1)]),
        ([MASK - 1, MASK, 0, 1], [(MASK - 1, 1)]),
        ([MASK], [(MASK, MASK)]),
        ([4, 4], [(4, 4), (4, 4)]),
    ],
)
def test_consecutive_numbers_are_one_range(numbers: Sequence[int], runs: list[tuple[int, int]]) -> None:
    assert ranges(numbers) == runs
