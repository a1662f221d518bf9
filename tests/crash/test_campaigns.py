"""A few cycles of what `make crash` does for hundreds: the gateway dies under load, and nothing is missing after it."""

import pytest

from crash.campaign import kill_campaign, power_campaign, power_cut_without_syncs
from support.gateway_site import GatewaySite

pytestmark = pytest.mark.timeout(300)  # some wait for a busy machine to do what takes ten seconds of a free one

CYCLES = 3
MEANINGFUL = 100
"""Acknowledged messages: far fewer than a machine takes that is busy elsewhere, and more than its devices."""


def silent(line: str) -> None:
    """Nobody watches."""


async def test_kill_9_at_any_instant_under_load_leaves_all_four_counts_at_zero(site: GatewaySite) -> None:
    counts = await kill_campaign(site, CYCLES, seed=3, show=silent)
    counts.assert_none()
    assert counts.acknowledged > MEANINGFUL


async def test_a_power_cut_at_any_change_on_the_disk_leaves_all_four_counts_at_zero(site: GatewaySite) -> None:
    counts = await power_campaign(site, CYCLES, seed=3, show=silent)
    counts.assert_none()
    assert counts.acknowledged > MEANINGFUL


async def test_without_syncs_a_power_cut_is_noticed_so_these_tests_can_see_a_loss(site: GatewaySite) -> None:
    assert await power_cut_without_syncs(site, seed=1)
