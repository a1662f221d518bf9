from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from edgewire.iothub import sas
from edgewire.message import Message, identity
from gateway.head.http_publishers import HttpPublishers
from gateway.head.http_services import HttpService
from gateway.identity.publisher_hubs import Hub, Hubs, Rule
from gateway.identity.publishers import PUBLISHERS_FILE, PublisherDoor, edit_publishers
from gateway.observe.head import HttpAction
from gateway.observe.publishers import PublisherRefusal, PublisherRefused
from support.http_reading import Answer
from support.http_site import HttpClient, HttpSite
from support.mqtt_site import HUB

RULE: Final = "SendRule"
KEY: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
NAMESPACE: Final = "contoso-ns.example"
TARGET: Final = "/telemetry/publishers/wipy-01/messages?timeout=60&api-version=2014-01"
TELEMETRY: Final = Hub(name="telemetry", hosts=(NAMESPACE,), rules={RULE: Rule(KEY, KEY[::-1])})


@dataclass
class Booth:
    """A site whose HTTPS head takes publishers."""

    site: HttpSite
    folder: Path

    def keep(self, *hubs: Hub) -> None:
        edit_publishers(self.folder / PUBLISHERS_FILE, lambda _: Hubs({hub.name: hub for hub in hubs}))

    def token(self, resource: str = f"https://{NAMESPACE}/telemetry/publishers/wipy-01", life_s: float = 60) -> str:
        return sas.make(resource, KEY.encode(), int(self.site.clock.now + life_s), RULE)

    async def post(
        self,
        target: str = TARGET,
        body: bytes = b"{}",
        *,
        token: str | None = "",
        headers: Mapping[str, str] = {},
        client: HttpClient | None = None,
        method: str = "POST",
    ) -> Answer:
        client = client or self.site.dial_http()
        fields = {"Host": NAMESPACE, **headers}
        client.ask(method, target, body, headers=fields, token=self.token() if token == "" else token)
        return await client.answer()

    def messages(self) -> list[Message]:
        return [entry.message for entry in self.site.stored()]

    def refused(self) -> list[PublisherRefusal]:
        return self.site.reasons(PublisherRefused)


@pytest.fixture
async def booth(tmp_path: Path) -> AsyncIterator[Booth]:
    async with HttpSite.open(tmp_path) as site:
        door = PublisherDoor(tmp_path, [HUB], site.registry, site.events.append)
        service: HttpService = HttpPublishers(door, site.ingress, site.events.append, site.clock)
        site.http.services = (service,)
        booth = Booth(site, tmp_path)
        booth.keep(TELEMETRY)
        yield booth


async def test_a_message_is_its_publishers_and_on_disk_before_201(booth: Booth) -> None:
    answer = await booth.post(
        body=b'{"t":1}', headers={"Content-Type": "application/json", "Kind": '"a"', "User-Agent": "x"}
    )
    assert (answer.status, answer.body) == (201, b"")
    assert answer.headers["content-type"].startswith("application/xml")
    (message,) = booth.messages()
    assert message.body == b'{"t":1}'
    assert message.envelope.sender == identity("wipy-01")
    assert message.envelope.properties == {"Kind": "a", "eventHub": "telemetry"}
    assert message.envelope.system == {
        "contentType": "application/json",
        "contentEncoding": "utf-8",
        "connectionDeviceId": "wipy-01",
    }
    assert booth.site.http.answered == {(HttpAction.PUBLISH, 201): 1}
