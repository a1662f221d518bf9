"""JSON that hurts readers, with routes that look into bodies: each body takes the right way, and nobody else waits."""

from support import raw_mqtt
from support.gateway_site import GatewaySite
from support.good_client import HELD_UP_S, GoodClient
from support.process_watch import watched
from support.raw_mqtt import publish
from support.raw_peer import RawPeer

TOPIC = "devices/d2/messages/events/$.ct=application%2Fjson&$.ce=utf-8"
ROUTES = {
    "alerts": {"route": "FROM /messages/* WHERE $body.messageType = 'alert' INTO $upstream"},
    "hot": {"route": "FROM /messages/* WHERE $body.temperature > 30 AND $body.temperature != null INTO $upstream"},
    "proto": {"route": "FROM /messages/* WHERE $body.__proto__.admin = true INTO $upstream"},
    "deep": {"route": "FROM /messages/* WHERE $body.a.a.a[0] = 1 INTO $upstream"},
}
ALERT = b'"messageType":"alert"'
DEEP = 10_000

BODIES = [
    ("as it should be", b"{%s}" % ALERT, True),
    ("10,000 levels of arrays", b"[" * DEEP + b"]" * DEEP, False),
    ("10,000 levels of arrays, never closed", b"[" * DEEP, False),
    ("10,000 levels of objects", b'{"a":' * DEEP + b"1" + b"}" * DEEP, False),
    ("10,000 levels behind what the route looks for", b'{%s,"x":' % ALERT + b"[" * DEEP + b"]" * DEEP + b"}", False),
    ("200 kB of nested arrays", b"[" * 100_000 + b"]" * 100_000, False),
    ("200 kB of flat arrays", b"[" + b"[]," * 66_000 + b"[]]", False),
    ("64 levels", b'{%s,"x":' % ALERT + b"[" * 63 + b"]" * 63 + b"}", True),
    ("a name given twice: the last one counts", b'{"messageType":"x",%s}' % ALERT, True),
    ("a name given twice, the other way round", b'{%s,"messageType":"x"}' % ALERT, False),
    ("a name given 10,000 times", b"{" + b'"messageType":"x",' * 10_000 + ALERT + b"}", True),
    ("NaN", b'{"temperature":NaN}', False),
    ("NaN beside what the route looks for", b'{"temperature":NaN,%s}' % ALERT, True),
    ("Infinity", b'{"temperature":Infinity}', True),
    ("1e999", b'{"temperature":1e999}', True),
    ("-1e999", b'{"temperature":-1e999}', False),
    ("a number of 100,000 digits", b'{"temperature":' + b"9" * 100_000 + b"}", False),
    ("a fraction of 100,000 digits", b'{"temperature":31.' + b"1" * 100_000 + b"}", True),
    ("an exponent of 100,000 digits", b'{"temperature":1e' + b"9" * 100_000 + b"}", True),
    ("digits without end that are no number", b'{"temperature":' + b"9" * 250_000 + b"x}", False),
    ("a lone surrogate in another value", b'{"x":"\\ud800",%s}' % ALERT, True),
    ("a lone surrogate as the value", b'{"messageType":"\\udfff"}', False),
    ("a lone surrogate in a name", b'{"\\ud800":1,%s}' % ALERT, True),
    ("bytes that are no UTF-8", b'{"x":"\xff\xfe",%s}' % ALERT, True),
    ("__proto__ as text", b'{"__proto__":{"admin":"true"}}', False),
    ("__proto__ as a name like any other", b'{"__proto__":{"admin":true}}', True),
    ("constructor", b'{"constructor":{"prototype":{"admin":true}}}', False),
    ("100,000 names", b"{" + b",".join(b'"%d":0' % number for number in range(20_000)) + b"," + ALERT + b"}", True),
    ("a name of 200 kB", b'{"' + b"x" * 200_000 + b'":1,%s}' % ALERT, True),
    ("an escape that ends", b'{"messageType":"\\u00', False),
    ("100,000 escapes", b'{"x":"' + b"\\u0041" * 30_000 + b'",%s}' % ALERT, True),
    ("nothing", b"", False),
    ("only blanks", b" " * 200_000, False),
    ("NUL", b"\0" * 1_000, False),
    ("a comment without end", b"/*" + b"*" * 100_000, False),
    ("comments", b"/**/" * 30_000 + b"{%s}" % ALERT, True),
    ("$version given by the device", b'{"$version":1,%s}' % ALERT, True),
]


async def test_each_body_takes_the_way_that_the_routes_say_and_delays_nobody(site: GatewaySite) -> None:
    settings = site.write_settings(routes=ROUTES)
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(settings))
    async with watched(site), GoodClient.running(site, "d1") as good:
        peer = await RawPeer.login(site, "d2")
        for packet_id, (_, body, _) in enumerate(BODIES, 1):
            peer.send(publish(TOPIC, body, packet_id=packet_id))
            assert await peer.expect(raw_mqtt.PUBACK) == packet_id.to_bytes(2, "big")
        await peer.close()
    wanted = [body for _, body, is_routed in BODIES if is_routed]
    arrived = [event.body for event in await site.arrived(len(wanted)) if event.body != b"good"]
    names = {body: name for name, body, _ in BODIES}
    assert [names[body] for body in arrived] == [names[body] for body in wanted]
    print(f"\nslowest good answer {good.slowest_s * 1000:.0f} ms")  # noqa: T201 — shown with -s
    assert good.held_up_s < HELD_UP_S


async def test_an_encoding_that_does_not_fit_the_body_is_no_fault(site: GatewaySite) -> None:
    settings = site.write_settings(routes=ROUTES)
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(settings), GATEWAY_UPSTREAM="none")
    async with watched(site):
        peer = await RawPeer.login(site, "d2", level=5)
        for encoding in ("utf-16", "utf-32", "utf-7", "latin-1", "%00", "x" * 5_000):
            topic = TOPIC.replace("utf-8", encoding)
            for packet_id, (_, body, _) in enumerate(BODIES, 1):
                peer.send(publish(topic, body, packet_id=packet_id, properties=b""))
                assert (await peer.expect(raw_mqtt.PUBACK))[:2] == packet_id.to_bytes(2, "big")
        await peer.close()
