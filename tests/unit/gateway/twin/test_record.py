import pytest

from edgewire.iothub.twins import Patches
from gateway.twin.mirror import Mirror, TwinDocument
from gateway.twin.record import BadRecordError, decode, encode

DOCUMENT = TwinDocument(desired={"d": 1}, desired_version=4, reported={}, reported_version=9)
FULL = Mirror(DOCUMENT, Patches({"a": None}, {"a": {"x": 1}}))
GOLDEN = (
    b'{"version":1,"document":{"desired":{"d":1},"desiredVersion":4,"reported":{},"reportedVersion":9},'
    b'"waiting":[{"a":null},{"a":{"x":1}}]}'
)


def test_record_bytes_are_version_1() -> None:
    assert encode(FULL) == GOLDEN
    assert encode(Mirror()) == b'{"version":1,"document":null,"waiting":null}'


@pytest.mark.parametrize("mirror", [FULL, Mirror(), Mirror(DOCUMENT), Mirror(None, Patches())])
def test_a_record_gives_its_mirror_back(mirror: Mirror) -> None:
    assert decode(encode(mirror)) == mirror


@pytest.mark.parametrize(
    "record",
    [
        *(GOLDEN[:cut] for cut in range(len(GOLDEN))),
        GOLDEN + b"}",
        GOLDEN.replace(b'"version":1', b'"version":2'),
        GOLDEN.replace(b'{"d":1}', b"[]"),
        GOLDEN.replace(b"4", b'"x"'),
        GOLDEN.replace(b'[{"a":null},', b"["),
        b"null",
        b"[]",
    ],
)
def test_anything_else_is_refused(record: bytes) -> None:
    with pytest.raises(BadRecordError):
        decode(record)
