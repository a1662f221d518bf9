"""The power goes at every write, sync and name change of a workload; what was acknowledged must be there afterwards."""

import random
from collections.abc import Callable

import pytest

from faults.inline import Bench
from faults.model_disk import ModelDisk, PowerCut
from faults.workload import SMALL, Ledger, Workload, everything

STEPS = 120


def cut_at(number: int) -> Callable[[str, str], None]:
    """A hook that takes the power away at operation `number`, and keeps it away."""
    count = 0

    def before(what: str, name: str) -> None:
        nonlocal count
        count += 1
        if count >= number:
            raise PowerCut

    return before


def operations(seed: int) -> int:
    """How many operations the workload makes."""
    disk = ModelDisk()
    count = 0

    def before(what: str, name: str) -> None:
        nonlocal count
        count += 1

    disk.before = before
    Workload(disk, Ledger(), seed).run(STEPS)
    return count


def live_until_cut(disk: ModelDisk, ledger: Ledger, seed: int, number: int) -> None:
    disk.before = cut_at(number)
    with pytest.raises(PowerCut):
        Workload(disk, ledger, seed).run(100_000)


def test_nothing_acknowledged_is_lost_wherever_the_power_goes() -> None:
    total = operations(seed=1)
    assert total > 200
    for number in range(1, total + 1):
        disk, ledger = ModelDisk(), Ledger()
        live_until_cut(disk, ledger, 1, number)
        after = Bench(disk.after_power_cut(random.Random(number)), SMALL)
        ledger.check(everything(after))


def test_nothing_acknowledged_is_lost_over_many_lives() -> None:
    for run in range(12):
        chance = random.Random(run)
        disk, ledger = ModelDisk(), Ledger()
        for life in range(12):
            live_until_cut(disk, ledger, run * 100 + life, chance.randint(1, 220))
            disk = disk.after_power_cut(chance)
            ledger.check(everything(Bench(disk, SMALL)))
            disk = disk.after_power_cut(chance)


def test_nothing_at_all_is_lost_wherever_the_process_is_killed() -> None:
    for number in range(1, operations(seed=2) + 1, 3):
        disk, ledger = ModelDisk(), Ledger()
        live_until_cut(disk, ledger, 2, number)
        after = Bench(disk.after_kill(), SMALL)
        ledger.check(everything(after))


def test_a_start_makes_safe_what_a_killed_process_had_not_synced() -> None:
    for number in range(1, operations(seed=3) + 1):
        disk, ledger = ModelDisk(), Ledger()
        live_until_cut(disk, ledger, 3, number)
        seen = everything(Bench(disk.after_kill(), SMALL))
        again = everything(Bench(disk.after_power_cut(random.Random(number)), SMALL))
        assert all(set(numbers) <= set(again[key]) for key, numbers in seen.items())


def test_without_syncs_messages_are_lost_so_this_test_can_see_it() -> None:
    lost = 0
    for number in range(40, 200, 10):
        disk, ledger = ModelDisk(syncs=False), Ledger()
        live_until_cut(disk, ledger, 1, number)
        try:
            ledger.check(everything(Bench(disk.after_power_cut(random.Random(number)), SMALL)))
        except Exception:  # noqa: BLE001 - a damaged store is a loss as well
            lost += 1
        except AssertionError:
            lost += 1
    assert lost
