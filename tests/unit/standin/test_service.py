from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.errors import ProtocolError
from edgewire.session.http.events import Headers, RequestReceived
from standin.errors import HubError
from support.service_calls import HOST, PEER, ServiceSite


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[ServiceSite]:
    site = ServiceSite(tmp_path)
    yield site
    site.hub.close()


def request(path: str, *headers: tuple[str, str], method: str = "GET") -> RequestReceived:
    return RequestReceived(method=method, path=path, query="api-version=2021-04-12", headers=Headers(headers))


@pytest.mark.parametrize(
    "path", ["/devices", "/devices/", "/devices/d/modules/m", "/twins/d/methods", "/configurations/c"]
)
def test_paths_of_the_service_are_claimed(site: ServiceSite, path: str) -> None:
    assert site.api.claims(request(path))


@pytest.mark.parametrize(
    "path", ["/", "/devices/d/messages/events", "/devices/d/messages/devicebound", "/scope/registrations/r/register"]
)
def test_paths_of_devices_are_not(site: ServiceSite, path: str) -> None:
    assert not site.api.claims(request(path))


def test_a_module_that_calls_a_method_speaks_to_edgehub(site: ServiceSite) -> None:
    assert not site.api.claims(request("/twins/d/methods", ("x-ms-edge-moduleId", "edge-1/m")))


async def test_whoever_has_no_good_token_is_refused(site: ServiceSite) -> None:
    for token in (None, "", "Bearer x", site.token(resource="other.test"), site.token(resource=f"{HOST}/twins")):
        headers = () if token is None else (("Authorization", token),)
        with pytest.raises(HubError) as caught:
            await site.api.answer(request("/devices", *headers), PEER)
        assert caught.value.code == 401002
    assert site.hub.counters["refused: service"] == 3


@pytest.mark.parametrize(
    ("policy", "method", "path", "allowed"),
    [
        ("registryRead", "GET", "/devices", True),
        ("registryRead", "PUT", "/devices/d", False),
        ("registryRead", "GET", "/twins/edge-1", False),
        ("registryReadWrite", "DELETE", "/devices/edge-1", True),
        ("service", "GET", "/twins/edge-1", True),
        ("service", "GET", "/devices", False),
        ("device", "GET", "/devices", False),
    ],
)
async def test_a_policy_may_what_its_rights_say(
    site: ServiceSite, policy: str, method: str, path: str, *, allowed: bool
) -> None:
    if allowed:
        assert (await site.send(method, path, policy=policy)).status in {200, 204}
    else:
        assert await site.code_of(method, path, policy=policy) == 403000


async def test_a_method_that_a_path_does_not_have_is_refused(site: ServiceSite) -> None:
    with pytest.raises(ProtocolError, match="PATCH is not served at /devices/d") as caught:
        await site.send("PATCH", "/devices/d")
    assert caught.value.reply == 405


async def test_faults_on_demand(site: ServiceSite) -> None:
    site.hub.faults.throttling = True
    assert await site.code_of("GET", "/devices") == 429001
    site.hub.faults.throttling = False
    site.hub.faults.refusing = True
    assert await site.code_of("GET", "/devices") == 503001


async def test_a_path_that_cannot_be_decoded_is_refused(site: ServiceSite) -> None:
    with pytest.raises(ProtocolError):
        await site.send("GET", "/devices/%zz")
