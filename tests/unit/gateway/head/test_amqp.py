from pathlib import Path

from edgewire.codec.amqp.performatives import ACCEPTED
from edgewire.message import identity
from support.amqp_site import AmqpSite


async def test_a_device_logs_in_by_plain_and_its_message_is_stored_before_it_is_accepted(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        client = site.plain()
        assert client.is_let_in()
        link = client.telemetry(client.begin())
        delivery = client.tell(link, b'{"a":1}', kind="x")
        assert delivery.state is None
        assert await client.outcome(delivery) == ACCEPTED
        [entry] = site.stored()
        assert entry.message.body == b'{"a":1}'
        assert entry.message.envelope.sender == identity("d1")
        assert entry.message.envelope.properties == {"kind": "x"}


async def test_many_devices_send_by_one_connection_with_their_tokens(tmp_path: Path) -> None:
    async with AmqpSite.open(tmp_path) as site:
        client, session = site.by_token("d1", "d2")
        first, second = client.telemetry(session, "d1"), client.telemetry(session, "d2")
        sent = [client.tell(first, b"1"), client.tell(second, b"2"), client.tell(first, b"3")]
        for delivery in sent:
            assert await client.outcome(delivery) == ACCEPTED
        assert [(e.message.envelope.sender.device, e.message.body) for e in site.stored()] == [
            ("d1", b"1"),
            ("d2", b"2"),
            ("d1", b"3"),
        ]
