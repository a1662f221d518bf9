"""Serial numbers of 32 bits, which begin again at 0 after 2^32 - 1. Spec: AMQP 1.0 §2.8.10, RFC 1982."""

from collections.abc import Sequence
from typing import Final

MASK: Final = 0xFFFF_FFFF
HALF: Final = 0x8000_0000


def distance(start: int, end: int) -> int:
    """How many steps lead from `start` to `end`: 0 to 2^31 - 1 forwards, negative if `end` lies behind `start`."""
    steps = end - start & MASK
    return steps - (MASK + 1) if steps & HALF else steps


def ranges(numbers: Sequence[int]) -> Sequence[tuple[int, int]]:
    """The runs of consecutive serial numbers, each as its first and last; in the order of the numbers."""
    count = len(numbers)
    if count < 2:
        return [(number, number) for number in numbers]
    last = numbers[0] + count - 1
    # A batch that is settled whole is one run: compared in C, as it is what each read ends with.
    if last <= MASK and list(numbers) == list(range(numbers[0], last + 1)):
        return [(numbers[0], last)]
    found: list[tuple[int, int]] = []
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1 & MASK:
            found.append((first, last))
            first = number
        last = number
    found.append((first, last))
    return found
