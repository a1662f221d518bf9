from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgewire.message import identity
from standin.errors import HubError
from standin.service_sections import Sections, patch_twin, read_sections, replace_twin
from support.service_calls import EDGE, ServiceSite

DEVICE = identity(EDGE)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ServiceSite]:
    site = ServiceSite(tmp_path)
    yield site
    site.hub.close()


@pytest.mark.parametrize(
    ("body", "sections"),
    [
        ({}, Sections(None, None)),
        ({"tags": None, "properties": None}, Sections(None, None)),
        ({"tags": {"a": 1}}, Sections({"a": 1}, None)),
        ({"properties": {"desired": {"a": None}, "reported": {"b": 1}}}, Sections(None, {"a": None})),
        ({"properties": {"desired": {"$version": 3, "$metadata": {}, "a": 1}}}, Sections(None, {"a": 1})),
    ],
)
def test_sections_are_read_without_what_is_the_hubs(body: Any, sections: Sections) -> None:
    assert read_sections(body) == sections


@pytest.mark.parametrize("body", [{"tags": []}, {"properties": 5}, {"properties": {"desired": "x"}}])
def test_what_is_no_section_is_refused(body: Any) -> None:
    with pytest.raises(HubError, match="no JSON object"):
        read_sections(body)


async def test_a_patch_is_told_as_it_came(site: ServiceSite) -> None:
    device = site.connect(DEVICE)
    twin = patch_twin(site.hub, DEVICE, Sections({"t": 1}, {"a": {"b": 1}, "c": None}))
    assert (twin.desired_version, twin.tags) == (2, {"t": 1})
    assert device.desired == [{"a": {"b": 1}, "c": None, "$version": 2}]


async def test_a_replacement_is_told_as_what_it_changes(site: ServiceSite) -> None:
    patch_twin(site.hub, DEVICE, Sections(None, {"a": 1, "b": 2}))
    device = site.connect(DEVICE)
    replace_twin(site.hub, DEVICE, Sections(None, {"b": 2, "c": 3}))
    assert device.desired == [{"a": None, "c": 3, "$version": 3}]


async def test_tags_are_not_told(site: ServiceSite) -> None:
    device = site.connect(DEVICE)
    patch_twin(site.hub, DEVICE, Sections({"t": 1}, None))
    replace_twin(site.hub, DEVICE, Sections({"u": 1}, None))
    assert device.desired == []
    assert site.hub.twin(DEVICE).tags == {"u": 1}


async def test_nothing_asked_changes_nothing(site: ServiceSite) -> None:
    before = site.hub.twin(DEVICE)
    assert patch_twin(site.hub, DEVICE, Sections(None, None)) == before
    assert replace_twin(site.hub, DEVICE, Sections(None, None)) == before


async def test_the_limits_of_twins_are_refusals_of_the_hub(site: ServiceSite) -> None:
    for change in (patch_twin, replace_twin):
        with pytest.raises(HubError) as caught:
            change(site.hub, DEVICE, Sections(None, {"a b": 1}))
        assert caught.value.code == 400004
        with pytest.raises(HubError) as caught:
            change(site.hub, DEVICE, Sections({str(number): "x" * 4000 for number in range(3)}, {"a": 1}))
        assert caught.value.code == 413001
    assert site.hub.twin(DEVICE).desired == {}
