import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from edgewire.iothub import sas
from edgewire.message import Message, identity
from gateway.dispatch.allowance import Allowance, Allowances, Limits
from gateway.head.http_publishers import HttpPublishers
from gateway.head.http_services import HttpService
from gateway.identity.limiter import PAIR_BURST
from gateway.identity.publisher_hubs import Hub, Hubs, Rule
from gateway.identity.publishers import PUBLISHERS_FILE, PublisherDoor, edit_publishers
from gateway.observe.head import HttpAction, MessageRefused, RefusedMessage, RefusedRequest, RequestRefused
from gateway.observe.publishers import PublisherRefusal, PublisherRefused
from gateway.store.values import AppendResult
from support.http_reading import Answer
from support.http_site import HttpClient, HttpSite, until
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


PREFIXES = {
    "its own": f"https://{NAMESPACE}/telemetry/publishers/wipy-01",
    "its own with a slash behind": f"https://{NAMESPACE}/telemetry/publishers/wipy-01/",
    "the address it posts to": f"https://{NAMESPACE}/telemetry/publishers/wipy-01/messages",
    "as the documentation's example has it": f"https://{NAMESPACE}/telemetry/publisher/wipy-01",
    "all publishers": f"https://{NAMESPACE}/telemetry/publishers",
    "the hub": f"https://{NAMESPACE}/telemetry",
    "the namespace": f"https://{NAMESPACE}/",
    "the namespace without a slash": f"https://{NAMESPACE}",
    "sb": f"sb://{NAMESPACE}/telemetry/publishers/wipy-01",
    "http": f"http://{NAMESPACE}/telemetry/publishers/wipy-01",
    "with a port": f"https://{NAMESPACE}:443/telemetry",
    "the gateway's own name": f"https://{HUB}/telemetry/publishers/wipy-01",
    "capitals in all but the publisher": f"HTTPS://{NAMESPACE.upper()}/Telemetry/Publishers/wipy-01",
    "an escape in the URI": f"https://{NAMESPACE}/telemetry/publishers/wipy%2D01",
}


@pytest.mark.parametrize("resource", PREFIXES.values(), ids=PREFIXES)
async def test_a_token_is_good_for_what_it_names_and_all_below(booth: Booth, resource: str) -> None:
    assert (await booth.post(token=booth.token(resource))).status == 201
    assert booth.refused() == []


FOREIGN = {
    "another publisher": f"https://{NAMESPACE}/telemetry/publishers/wipy-02",
    "the beginning of its name": f"https://{NAMESPACE}/telemetry/publishers/wipy-0",
    "more than its name": f"https://{NAMESPACE}/telemetry/publishers/wipy-011",
    "its name in capitals": f"https://{NAMESPACE}/telemetry/publishers/WIPY-01",
    "the beginning of the hub": f"https://{NAMESPACE}/tele",
    "another hub": f"https://{NAMESPACE}/other/publishers/wipy-01",
    "another host": "https://other-ns.example/telemetry/publishers/wipy-01",
    "a host behind ours": f"https://{NAMESPACE}.evil.example/telemetry",
    "a partition": f"https://{NAMESPACE}/telemetry/partitions/0",
    "something below": f"https://{NAMESPACE}/telemetry/publishers/wipy-01/messages/more",
    "no publishers": f"https://{NAMESPACE}/telemetry/wipy-01",
    "a name that is escaped twice": f"https://{NAMESPACE}/telemetry/publishers/wipy%252D01",
}
MALFORMED = {
    "no scheme": f"{NAMESPACE}/telemetry/publishers/wipy-01",
    "another scheme": f"amqps://{NAMESPACE}/telemetry/publishers/wipy-01",
    "two slashes": f"https://{NAMESPACE}//telemetry/publishers/wipy-01",
    "a dot segment": f"https://{NAMESPACE}/telemetry/publishers/wipy-02/../wipy-01",
    "an escaped dot segment": f"https://{NAMESPACE}/telemetry/publishers/%2e%2e",
    "an escaped slash": f"https://{NAMESPACE}/telemetry%2Fpublishers%2Fwipy-01",
    "somebody before the host": f"https://us@{NAMESPACE}/telemetry",
    "a query": f"https://{NAMESPACE}/telemetry?x",
    "a fragment": f"https://{NAMESPACE}/telemetry#x",
    "a backslash": f"https://{NAMESPACE}\\telemetry",
    "encoded twice": f"https%3A%2F%2F{NAMESPACE}%2Ftelemetry",
    "no host": "https:///telemetry",
    "a broken escape": f"https://{NAMESPACE}/tele%metry",
    "that of a device": f"{HUB}/devices/wipy-01",
}


@pytest.mark.parametrize(
    ("resource", "reason"),
    [(text, PublisherRefusal.FOREIGN_AUDIENCE) for text in FOREIGN.values()]
    + [(text, PublisherRefusal.MALFORMED_TOKEN) for text in MALFORMED.values()],
    ids=[*FOREIGN, *MALFORMED],
)
async def test_a_token_for_something_else_is_not_good(booth: Booth, resource: str, reason: PublisherRefusal) -> None:
    answer = await booth.post(token=booth.token(resource))
    assert (answer.status, b"Unauthorized" in answer.body) == (401, True)
    assert booth.refused() == [reason]
    assert booth.messages() == []


async def test_whatever_is_wrong_with_credentials_looks_the_same(booth: Booth) -> None:
    booth.keep(TELEMETRY, Hub(name="quiet", rules={"Other": Rule(KEY, KEY)}))
    own = f"https://{NAMESPACE}/telemetry/publishers/wipy-01"
    at = int(booth.site.clock.now + 60)
    quiet = TARGET.replace("telemetry", "quiet")
    asked: list[tuple[str | None, str, str, PublisherRefusal]] = [
        (None, TARGET, NAMESPACE, PublisherRefusal.NO_TOKEN),
        ("Bearer eyJ", TARGET, NAMESPACE, PublisherRefusal.MALFORMED_TOKEN),
        (sas.make(own, KEY.encode(), at), TARGET, NAMESPACE, PublisherRefusal.UNKNOWN_RULE),
        (sas.make(own, KEY.encode(), at, "Nobody"), TARGET, NAMESPACE, PublisherRefusal.UNKNOWN_RULE),
        (booth.token(), quiet, NAMESPACE, PublisherRefusal.UNKNOWN_RULE),
        (booth.token(), TARGET.replace("telemetry", "nowhere"), NAMESPACE, PublisherRefusal.UNKNOWN_RULE),
        (sas.make(own, sas.decode_key(KEY), at, RULE), TARGET, NAMESPACE, PublisherRefusal.WRONG_KEY),
        (booth.token(life_s=-301), TARGET, NAMESPACE, PublisherRefusal.EXPIRED),
        (booth.token(), TARGET, "other-ns.example", PublisherRefusal.NOT_OURS),
        (booth.token(f"https://{NAMESPACE}"), "/telemetry/messages", NAMESPACE, PublisherRefusal.NO_PUBLISHER),
    ]
    for token, target, host, reason in asked:
        answer = await booth.post(target, token=token, headers={"Host": host})
        assert (answer.status, answer.body) == (401, b"<Error><Code>401</Code><Detail>Unauthorized</Detail></Error>")
        assert booth.refused()[-1] is reason
    assert booth.messages() == []


async def test_both_keys_of_a_rule_sign_and_its_name_counts_whatever_its_case(booth: Booth) -> None:
    own = f"https://{NAMESPACE}/telemetry/publishers/wipy-01"
    second = sas.make(own, KEY[::-1].encode(), int(booth.site.clock.now + 60), RULE.upper())
    assert (await booth.post(token=second)).status == 201


async def test_a_revoked_publisher_is_out_at_once_also_on_its_open_connection(booth: Booth) -> None:
    client = booth.site.dial_http()
    assert (await booth.post(client=client)).status == 201
    path = booth.folder / PUBLISHERS_FILE
    edit_publishers(path, lambda hubs: hubs.with_revoked("telemetry", "wipy-01", 1))
    hub_token = booth.token(f"https://{NAMESPACE}/telemetry")
    assert (await booth.post(client=client)).status == 401
    assert (await booth.post(token=hub_token)).status == 401
    assert booth.refused() == [PublisherRefusal.REVOKED] * 2
    assert (await booth.post(TARGET.replace("wipy-01", "wipy-02"), token=hub_token)).status == 201
    edit_publishers(path, lambda hubs: hubs.with_restored("telemetry", "wipy-01"))
    assert (await booth.post()).status == 201


async def test_who_is_revoked_while_its_body_comes_is_refused(booth: Booth) -> None:
    client = booth.site.dial_http()
    head = f"POST {TARGET} HTTP/1.1\r\nHost: {NAMESPACE}\r\nAuthorization: {booth.token()}\r\nContent-Length: 2\r\n\r\n"
    client.say(head.encode() + b"{")
    edit_publishers(booth.folder / PUBLISHERS_FILE, lambda hubs: hubs.with_revoked("telemetry", "wipy-01", 1))
    client.say(b"}")
    assert (await client.answer()).status == 401
    assert booth.messages() == []


async def test_a_body_is_not_read_before_its_sender_is_known(booth: Booth) -> None:
    client = booth.site.dial_http()
    client.say(f"POST {TARGET} HTTP/1.1\r\nHost: {NAMESPACE}\r\nContent-Length: 300000\r\n\r\n".encode())
    assert (await client.answer()).status == 401
    assert client.is_closed()


async def test_the_device_of_a_publisher_may_be_disabled(booth: Booth) -> None:
    booth.site.register("wipy-01", enabled=False)
    assert (await booth.post()).status == 401
    assert booth.refused() == [PublisherRefusal.DISABLED]
    booth.site.register("wipy-01")
    assert (await booth.post()).status == 201


async def test_a_hub_may_name_its_devices(booth: Booth) -> None:
    booth.keep(replace(TELEMETRY, device_prefix="shed-", device="shed"))
    token = booth.token(f"https://{NAMESPACE}/telemetry")
    for target in (TARGET, "/telemetry/messages", "/Telemetry/partitions/3/messages?timeout=60"):
        assert (await booth.post(target, token=token)).status == 201
    assert [message.envelope.sender.device for message in booth.messages()] == ["shed-wipy-01", "shed", "shed"]
    long = TARGET.replace("wipy-01", "w" * 128)
    assert (await booth.post(long, token=token)).status == 401
    assert booth.refused() == [PublisherRefusal.UNFIT_ID]


async def test_guessing_is_slowed_and_the_good_are_not(booth: Booth) -> None:
    for _ in range(PAIR_BURST + 1):
        client = booth.site.dial_http()
        client.ask("POST", TARGET, b"{}", headers={"Host": NAMESPACE}, token="SharedAccessSignature x")
    assert booth.refused() == [PublisherRefusal.MALFORMED_TOKEN] * PAIR_BURST + [PublisherRefusal.THROTTLED]
    assert client.answers() == []
    assert (await booth.post()).status == 201
    client.lose()


PATHS = {
    "no messages": ("/telemetry/publishers/wipy-01", 404),
    "something behind": ("/telemetry/publishers/wipy-01/messages/1", 404),
    "an empty publisher": ("/telemetry/publishers//messages", 404),
    "two slashes": ("//telemetry/publishers/wipy-01/messages", 404),
    "a dot segment": ("/telemetry/publishers/wipy-02/../wipy-01/messages", 404),
    "an escaped hub": ("/tele%2Fmetry/publishers/wipy-01/messages", 404),
    "a hub that begins with a dot": ("/.telemetry/publishers/wipy-01/messages", 404),
    "dots for a publisher": ("/telemetry/publishers/%2e%2e/messages", 400),
    "an escaped slash": ("/telemetry/publishers/a%2Fb/messages", 400),
    "NUL": ("/telemetry/publishers/a%00/messages", 400),
    "a line": ("/telemetry/publishers/a%0d%0aX/messages", 400),
    "SQL": ("/telemetry/publishers/x';DROP%20TABLE%20devices--/messages", 400),
    "a broken escape": ("/telemetry/publishers/a%2/messages", 400),
    "too long": (f"/telemetry/publishers/{'a' * 129}/messages", 400),
    "a partition that is none": ("/telemetry/partitions/-1/messages", 400),
    "a partition too many": ("/telemetry/partitions/2000/messages", 400),
    "a time that is none": (f"{TARGET}&timeout=1", 400),
    "a version that is none": ("/telemetry/publishers/wipy-01/messages?api-version=x", 400),
    "the device API": ("/devices/wipy-01/messages", 404),
}


@pytest.mark.parametrize(("target", "status"), PATHS.values(), ids=PATHS)
async def test_a_path_that_is_none_is_refused(booth: Booth, target: str, status: int) -> None:
    token = booth.token(f"https://{NAMESPACE}")
    assert (await booth.post(target, token=token)).status == status
    assert booth.site.reasons(RequestRefused)[0] in (RefusedRequest.MALFORMED, RefusedRequest.UNKNOWN_PATH)
    assert booth.messages() == []


async def test_without_hubs_there_is_nothing(booth: Booth) -> None:
    booth.keep()
    assert (await booth.post()).status == 404
    assert booth.refused() == []


async def test_other_methods_are_refused(booth: Booth) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = await booth.post(method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_two_tokens_are_refused(booth: Booth) -> None:
    answer = await booth.post(headers={"authorization": booth.token()})
    assert answer.status == 400


BATCH = {"Content-Type": "application/vnd.microsoft.servicebus.json; charset=utf-8"}


async def test_a_batch_is_kept_whole_and_headers_are_not_its(booth: Booth) -> None:
    body = (
        b'[{"Body":"one","UserProperties":{"a":"x","n":1.5,"yes":true,"no":null}},'
        b'{"Body":"{}","BrokerProperties":{"MessageId":"7","ContentType":"application/json","Label":"l"}}]'
    )
    assert (await booth.post(body=body, headers={**BATCH, "Other": '"b"'})).status == 201
    first, second = booth.messages()
    assert first.body == b"one"
    assert first.envelope.properties == {"a": "x", "n": "1.5", "yes": "true", "no": None, "eventHub": "telemetry"}
    assert second.envelope.properties == {"eventHub": "telemetry"}
    assert second.envelope.system["messageId"] == "7"
    assert (second.envelope.system["contentType"], second.envelope.system["contentEncoding"]) == (
        "application/json",
        "utf-8",
    )


REFUSED: dict[str, tuple[bytes, dict[str, str], int, RefusedMessage]] = {
    "a batch that is none": (b"hello", BATCH, 400, RefusedMessage.MALFORMED_MESSAGE),
    "an empty batch": (b"[]", BATCH, 400, RefusedMessage.MALFORMED_MESSAGE),
    "one message without the array": (b'{"Body":"x"}', BATCH, 400, RefusedMessage.MALFORMED_MESSAGE),
    "no body in it": (b'[{"Body":"x"},{"UserProperties":{}}]', BATCH, 400, RefusedMessage.MALFORMED_MESSAGE),
    "another member": (b'[{"Body":"x","Publisher":"y"}]', BATCH, 400, RefusedMessage.MALFORMED_MESSAGE),
    "properties in one another": (
        b'[{"Body":"","UserProperties":{"a":{}}}]',
        BATCH,
        400,
        RefusedMessage.MALFORMED_MESSAGE,
    ),
    "properties that are none": (b'[{"Body":"","UserProperties":[]}]', BATCH, 400, RefusedMessage.MALFORMED_MESSAGE),
    "the sender's id in it": (
        b'[{"Body":"","UserProperties":{"iothub-connection-device-id":"d1"}}]',
        BATCH,
        400,
        RefusedMessage.MALFORMED_MESSAGE,
    ),
    "too many in it": (b"[" + b",".join([b'{"Body":""}'] * 501) + b"]", BATCH, 413, RefusedMessage.TOO_LARGE),
    "one too large in it": (b'[{"Body":"%s"}]' % (b"x" * 262_145), BATCH, 413, RefusedMessage.TOO_LARGE),
    "too large": (bytes(262_145), {}, 413, RefusedMessage.TOO_LARGE),
    "a text without quotes": (b"", {"Kind": "boiler"}, 400, RefusedMessage.MALFORMED_PROPERTIES),
    "an object": (b"", {"Kind": '{"a":1}'}, 400, RefusedMessage.MALFORMED_PROPERTIES),
    "a name twice": (b"", {"Kind": '"a"', "kind": '"b"'}, 400, RefusedMessage.MALFORMED_PROPERTIES),
    "the sender's id": (b"", {"iothub-connection-device-id": '"d1"'}, 400, RefusedMessage.MALFORMED_PROPERTIES),
    "one that hides it in routes": (b"", {"$connectionDeviceId": '"d1"'}, 400, RefusedMessage.MALFORMED_PROPERTIES),
    "a system property of a topic": (b"", {"$.mid": '"1"'}, 400, RefusedMessage.MALFORMED_PROPERTIES),
    "more than ASCII": (b"", {"Kind": '"\xfc"'}, 400, RefusedMessage.MALFORMED_PROPERTIES),
    "broker properties that are none": (b"", {"BrokerProperties": "{"}, 400, RefusedMessage.MALFORMED_PROPERTIES),
    "an array of them": (b"", {"BrokerProperties": "[]"}, 400, RefusedMessage.MALFORMED_PROPERTIES),
    "a key that is no text": (
        b"",
        {"BrokerProperties": '{"PartitionKey":1}'},
        400,
        RefusedMessage.MALFORMED_PROPERTIES,
    ),
    "another's partition key": (
        b"",
        {"BrokerProperties": '{"PartitionKey":"wipy-02"}'},
        400,
        RefusedMessage.MALFORMED_PROPERTIES,
    ),
}


@pytest.mark.parametrize(("body", "headers", "status", "reason"), REFUSED.values(), ids=REFUSED)
async def test_a_message_that_cannot_be_taken_is_refused_and_none_is_kept(
    booth: Booth, body: bytes, headers: dict[str, str], status: int, reason: RefusedMessage
) -> None:
    answer = await booth.post(body=body, headers=headers)
    assert (answer.status, booth.site.reasons(MessageRefused)) == (status, [reason])
    assert answer.body.startswith(b"<Error><Code>%d</Code>" % status)
    assert booth.messages() == []
    assert (await booth.post()).status == 201


async def test_headers_that_proxies_and_clients_add_are_no_properties(booth: Booth) -> None:
    added = {
        "Accept": "*/*",
        "X-Forwarded-For": "10.0.0.1",
        "X-Request-Id": "7e2a-x",
        "x-ms-retrypolicy": "NoRetry",
        "Via": "1.1 proxy",
        "Sec-Fetch-Mode": '"cors"',
        "X-Rank": "3",
        "BrokerProperties": '{"PartitionKey":"wipy-01","CorrelationId":"c"}',
    }
    assert (await booth.post(headers=added)).status == 201
    (message,) = booth.messages()
    assert message.envelope.properties == {"X-Rank": "3", "eventHub": "telemetry"}
    assert message.envelope.system == {"cid": "c", "connectionDeviceId": "wipy-01"}


async def test_other_content_types_are_kept_as_they_are(booth: Booth) -> None:
    kept = "application/atom+xml;type=entry;charset=utf-8"
    assert (await booth.post(headers={"Content-Type": kept})).status == 201
    assert booth.messages()[0].envelope.system["contentType"] == kept


async def test_the_hubs_mark_is_the_gateways_to_set(booth: Booth) -> None:
    assert (await booth.post(headers={"EventHub": '"other"'})).status == 201
    assert booth.messages()[0].envelope.properties == {"eventHub": "telemetry"}


async def test_a_partition_key_without_a_publisher_is_a_property(booth: Booth) -> None:
    booth.keep(replace(TELEMETRY, device="shed"))
    headers = {"BrokerProperties": '{"PartitionKey":"k"}'}
    token = booth.token(f"https://{NAMESPACE}/telemetry/messages")
    assert (await booth.post("/telemetry/messages", token=token, headers=headers)).status == 201
    assert booth.messages()[0].envelope.properties == {"PartitionKey": "k", "eventHub": "telemetry"}


async def test_what_the_disk_does_not_take_is_not_acknowledged(booth: Booth, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(messages: Sequence[Message], answer: Callable[[AppendResult], None]) -> None:
        answer(AppendResult.FULL)

    monkeypatch.setattr(booth.site.ingress, "accept", full)
    answer = await booth.post()
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert booth.site.reasons(MessageRefused) == [RefusedMessage.STORE_FULL]


async def test_who_goes_before_the_answer_disturbs_nobody(booth: Booth, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[Callable[[AppendResult], None]] = []
    monkeypatch.setattr(booth.site.ingress, "accept", lambda _messages, answer: waiting.append(answer))
    client = booth.site.dial_http()
    client.ask("POST", TARGET, b"{}", headers={"Host": NAMESPACE}, token=booth.token())
    await until(lambda: bool(waiting))
    client.lose()
    await asyncio.sleep(0)
    waiting[0](AppendResult.STORED)
    assert client.answers() == []


async def test_a_publisher_that_sends_too_much_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with HttpSite.open(tmp_path) as site:
        allowances = Allowances(site.events.append, asyncio.get_running_loop().time, lambda: 0.0)
        allowances.use(Limits(devices={"wipy-01": Allowance(messages_per_s=0.01, burst=2)}))
        door = PublisherDoor(tmp_path, [HUB], site.registry, site.events.append)
        service: HttpService = HttpPublishers(door, site.ingress, site.events.append, site.clock, lambda: allowances)
        site.http.services = (service,)
        booth = Booth(site, tmp_path)
        booth.keep(TELEMETRY)
        answers = [await booth.post() for _ in range(3)]
        assert [answer.status for answer in answers] == [201, 201, 429]
        assert 1 <= int(answers[2].headers["retry-after"]) <= 100
        assert b"<Code>429</Code>" in answers[2].body
        assert site.reasons(MessageRefused) == [RefusedMessage.OVER_LIMIT]
        assert len(booth.messages()) == 2
