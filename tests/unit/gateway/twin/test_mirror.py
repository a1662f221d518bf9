from functools import reduce
from typing import Any

import orjson
import pytest

from edgewire.iothub.twins import Patches, TwinError
from gateway.twin.mirror import (
    MAX_DOCUMENT_BYTES,
    BadDocumentError,
    DesiredPatch,
    Mirror,
    Step,
    TwinDocument,
    expected_version,
    missed,
    read_desired,
    read_document,
    step_of,
    with_desired,
    with_read,
    with_report,
    with_sent,
    without_waiting,
    write_desired,
    write_shown,
)

DOCUMENT = TwinDocument(desired={"d": 1}, desired_version=4, reported={"r": {"x": 1}}, reported_version=9)
WIRE = b'{"desired":{"d":1,"$version":4},"reported":{"r":{"x":1},"$version":9}}'
KNOWN = Mirror(DOCUMENT)


def shown(mirror: Mirror) -> Any:
    body = write_shown(mirror)
    return None if body is None else orjson.loads(body)


def test_a_document_is_read_as_the_hub_tells_it_and_shown_as_it_was_read() -> None:
    assert read_document(WIRE) == DOCUMENT
    assert write_shown(KNOWN) == WIRE


def test_metadata_of_a_services_reading_is_left_out() -> None:
    wire = b'{"desired":{"$metadata":{},"$version":1},"reported":{"a":1,"$version":1,"$metadata":{}},"tags":{}}'
    document = read_document(wire)
    assert (document.desired, document.reported) == ({}, {"a": 1})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"desired":{"$version":1}}',
        b'{"desired":1,"reported":2}',
        b'{"desired":{},"reported":{}}',
        b'{"desired":{"$version":"1"},"reported":{"$version":1}}',
        b'{"desired":{"$version":true},"reported":{"$version":1}}',
        b'{"a":' * 3000,
        b'{"desired":{"$version":1},"reported":{"$version":1}}' + b" " * MAX_DOCUMENT_BYTES,
    ],
)
def test_what_is_no_twin_is_refused(body: bytes) -> None:
    with pytest.raises(BadDocumentError):
        read_document(body)


def test_a_change_is_read_without_its_version_and_written_with_it() -> None:
    change = read_desired(b'{"a":null,"$version":5}')
    assert change == DesiredPatch({"a": None}, 5)
    assert write_desired(change) == b'{"a":null,"$version":5}'


@pytest.mark.parametrize("body", [b"{}", b"[]", b"x", b'{"$version":1}' + b" " * MAX_DOCUMENT_BYTES])
def test_what_is_no_change_is_refused(body: bytes) -> None:
    with pytest.raises(BadDocumentError):
        read_desired(body)


def test_what_was_never_read_is_not_shown() -> None:
    assert shown(Mirror()) is None
    assert shown(with_report(Mirror(), {"a": 1})) is None


def test_waiting_reports_are_shown_with_the_version_they_will_make() -> None:
    waiting = with_report(with_report(KNOWN, {"r": {"y": 2}}), {"s": 3, "r": {"x": None}})
    assert shown(waiting)["reported"] == {"r": {"y": 2}, "s": 3, "$version": 10}
    assert expected_version(waiting) == 10
    assert waiting.document == DOCUMENT, "the cloud has not taken them yet"


def test_reports_that_clear_first_make_two_versions() -> None:
    waiting = with_report(with_report(KNOWN, {"r": None}), {"r": {"z": 1}})
    assert waiting.waiting == Patches({"r": None}, {"r": {"z": 1}})
    assert shown(waiting)["reported"] == {"r": {"z": 1}, "$version": 11}


def test_the_version_of_a_twin_that_was_never_read_is_counted_from_one() -> None:
    assert expected_version(Mirror()) == 1
    assert expected_version(with_report(Mirror(), {"a": 1})) == 2


def test_a_report_that_would_make_the_section_too_large_is_413() -> None:
    large = with_read(
        KNOWN,
        TwinDocument(
            desired={}, desired_version=1, reported={f"k{n}": "x" * 4000 for n in range(8)}, reported_version=1
        ),
    )
    with pytest.raises(TwinError) as caught:
        with_report(large, {"more": "x" * 1000})
    assert caught.value.status == 413
    with_report(large, {"k0": None, "more": "x" * 1000})


@pytest.mark.parametrize(
    "patches",
    [
        [{f"k{n}": "x" * 4000} for n in range(9)],
        [{f"{n}" + "k" * 1000: None} for n in range(33)],
        [{f"k{n}": [[] for _ in range(20_000)]} for n in range(4)],
    ],
    ids=["values", "removals", "brackets, which the hub does not count"],
)
def test_reports_that_wait_are_bounded_whatever_is_in_them(patches: list[Any]) -> None:
    with pytest.raises(TwinError) as caught:
        reduce(with_report, patches, Mirror())
    assert caught.value.status == 413


@pytest.mark.parametrize(("version", "after"), [(12, 12), (None, 10)])
def test_what_the_cloud_has_taken_is_known(version: int | None, after: int) -> None:
    sent = with_sent(KNOWN, {"r": None, "q": 1}, version)
    assert sent.document is not None
    assert (sent.document.reported, sent.document.reported_version) == ({"q": 1}, after)


def test_what_is_sent_of_a_twin_that_was_never_read_leaves_it_unread() -> None:
    waiting = with_report(Mirror(), {"a": 1})
    assert without_waiting(with_sent(waiting, {"a": 1}, 2)) == Mirror()


@pytest.mark.parametrize(
    ("mirror", "version", "step"),
    [
        (KNOWN, 3, Step.OLD),
        (KNOWN, 4, Step.OLD),
        (KNOWN, 5, Step.NEXT),
        (KNOWN, 6, Step.GAP),
        (KNOWN, 400, Step.GAP),
        (KNOWN, -1, Step.OLD),
        (Mirror(), 1, Step.GAP),
    ],
)
def test_steps(mirror: Mirror, version: int, step: Step) -> None:
    assert step_of(mirror, version) is step


def test_a_next_step_is_merged() -> None:
    after = with_desired(KNOWN, DesiredPatch({"d": None, "e": 2}, 5))
    assert shown(after)["desired"] == {"e": 2, "$version": 5}
    assert with_desired(Mirror(), DesiredPatch({}, 5)) == Mirror()


@pytest.mark.parametrize(
    ("mirror", "desired", "version", "told"),
    [
        (KNOWN, {"d": 1}, 4, None),
        (KNOWN, {"d": 2, "e": 3}, 7, DesiredPatch({"d": 2, "e": 3}, 7)),
        (KNOWN, {}, 7, DesiredPatch({"d": None}, 7)),
        (KNOWN, {"d": 1}, 6, DesiredPatch({}, 6)),
        (KNOWN, {"d": 5}, 1, DesiredPatch({"d": 5}, 1)),
        (Mirror(), {"d": 1}, 4, DesiredPatch({"d": 1}, 4)),
    ],
    ids=["nothing", "changed", "removed", "changed and back", "created anew", "never read"],
)
def test_what_was_missed(mirror: Mirror, desired: Any, version: int, told: DesiredPatch | None) -> None:
    document = TwinDocument(desired=desired, desired_version=version, reported={}, reported_version=1)
    assert missed(mirror, document) == told
