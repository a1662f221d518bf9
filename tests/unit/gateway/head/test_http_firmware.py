import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.head.http_firmware import FirmwareService
from gateway.observe.head import HttpAction
from gateway.observe.identity import LoginRefused
from support.http_reading import Answer
from support.http_site import HttpClient, HttpSite

SHA256 = "ab" * 32
IMAGE = bytes(range(256)) * 20
FILE = f"/firmware/v1/images/{SHA256}"
MANIFEST = "/firmware/v1/manifests/nodemcu"


class Shelf:
    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    def meant_for(self, device: str, model: str) -> bytes | None:
        self.asked.append((device, model))
        return b'{"for":"d1"}' if model == "nodemcu" else None

    def manifest(self, model: str, version: str) -> bytes | None:
        self.asked.append((model, version))
        return b"{}" if (model, version) == ("nodemcu", "1.1.0") else None

    def piece(self, sha256: str, offset: int, length: int) -> tuple[bytes, int] | None:
        self.asked.append((sha256,))
        return (IMAGE[offset : offset + length], len(IMAGE)) if sha256 == SHA256 else None


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def site(tmp_path: Path, shelf: Shelf) -> AsyncIterator[HttpSite]:
    async with HttpSite.open(tmp_path, services=[FirmwareService(shelf)]) as ours:
        yield ours


async def get(site: HttpSite, target: str, **more: str | None) -> Answer:
    client = site.dial_http()
    client.ask("GET", target, **more)  # type: ignore[arg-type] # token or device
    return await client.answer()


async def test_a_manifest_is_the_one_for_who_asks(site: HttpSite, shelf: Shelf) -> None:
    answer = await get(site, MANIFEST)
    assert (answer.status, answer.body) == (200, b'{"for":"d1"}')
    assert shelf.asked == [("d1", "nodemcu")]
    assert (await get(site, MANIFEST + "/1.1.0")).body == b"{}"
    assert (await get(site, MANIFEST + "/9.9")).status == 404
    assert (await get(site, "/firmware/v1/manifests/esp32")).status == 404
    assert (await get(site, MANIFEST + "?x=1")).status == 400


async def test_an_image_comes_in_pieces(site: HttpSite) -> None:
    got = b""
    while len(got) < len(IMAGE):
        answer = await get(site, f"{FILE}?offset={len(got)}&length=1000")
        assert answer.status == 200
        got += answer.body
    assert got == IMAGE
    assert (await get(site, FILE)).body == IMAGE[:4_096]
    assert (await get(site, f"{FILE}?length=1&offset=5")).body == IMAGE[5:6]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"offset={len(IMAGE)}", 416),
        ("offset=999999999", 416),
        ("offset=1000000000", 400),
        ("offset=-1", 400),
        ("offset=0x10", 400),
        ("offset=", 400),
        ("offset=1&offset=2", 400),
        ("length=0", 400),
        ("length=4097", 400),
        ("length=1.5", 400),
        ("offset=%31", 400),
        ("offset=1&", 400),
        ("other=1", 400),
        ("offset=\uff11".encode().decode("latin-1"), 400),
    ],
)
async def test_bounds_that_are_none_are_refused(site: HttpSite, query: str, status: int) -> None:
    assert (await get(site, f"{FILE}?{query}")).status == status


@pytest.mark.parametrize(
    "path",
    [
        "/firmware/v1/manifests/..",
        "/firmware/v1/manifests/../x",
        "/firmware/v1/manifests/nodemcu/../x",
        "/firmware/v1/manifests/%6eodemcu",
        "/firmware/v1/manifests/%2e%2e%2fx",
        "/firmware/v1/manifests//x",
        "/firmware/v1/manifests/nodemcu/",
        "/firmware/v1/manifests/-x",
        "/firmware/v1/manifests/" + "x" * 41,
        "/firmware/v1/images/" + SHA256.upper(),
        "/firmware/v1/images/" + SHA256 + "/",
        "/firmware/v1/images/" + SHA256[1:],
        "/firmware/v1/images/../" + SHA256,
        "/firmware/v1/images/http://127.0.0.1/",
        "/firmware/",
        "/firmware/v2/x",
    ],
)
async def test_what_is_no_name_is_nowhere_and_nobody_looks_for_it(site: HttpSite, shelf: Shelf, path: str) -> None:
    assert (await get(site, path)).status == 404
    assert shelf.asked == []


async def test_an_image_that_is_not_there_is_404(site: HttpSite) -> None:
    answer = await get(site, "/firmware/v1/images/" + "0" * 64)
    assert (answer.status, json.loads(answer.body)) == (404, {"message": "there is no such image"})


async def test_only_get_is_served(site: HttpSite) -> None:
    client = site.dial_http()
    client.ask("POST", MANIFEST)
    answer = await client.answer()
    assert answer.status == 405
    assert ("Allow", "GET") in [(name.title(), value) for name, value in answer.headers.items()]


@pytest.mark.parametrize("token", [None, "x", "SharedAccessSignature sr=h%2fdevices%2fd1&sig=a"])
async def test_without_a_token_of_a_device_nothing_is_given_out(
    site: HttpSite, shelf: Shelf, token: str | None
) -> None:
    assert (await get(site, MANIFEST, token=token)).status == 401
    assert shelf.asked == []


async def test_a_token_must_be_a_good_one_of_a_device(site: HttpSite, shelf: Shelf) -> None:
    for token in (site.sas("d1", key=bytes(32)), site.sas("d1", life_s=-1e6), site.sas("d9"), site.sas("d1", "m")):
        assert (await get(site, FILE, token=token)).status == 401
    assert shelf.asked == []
    assert len([event for event in site.events if isinstance(event, LoginRefused)]) == 3


async def test_whatever_name_the_board_dials_its_token_counts(site: HttpSite) -> None:
    client = site.dial_http()
    client.ask("GET", MANIFEST, headers={"Host": "192.168.7.5:443"})
    assert (await client.answer()).status == 200
    assert site.http.answered == {(HttpAction.FIRMWARE, 200): 1}


async def test_a_body_is_refused(site: HttpSite) -> None:
    client: HttpClient = site.dial_http()
    client.ask("GET", MANIFEST, b"x")
    assert (await client.answer()).status == 413
