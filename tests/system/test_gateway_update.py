"""Update and rollback: a data folder of an older gateway is gone on with, one of a newer gateway is left as it is."""

import hashlib
import shutil
import zlib
from pathlib import Path
from typing import Final

from gateway.store.segment import SEGMENT, VERSION
from project_sources import ROOT
from support.gateway_site import GatewaySite
from support.paho_device import Dial, let_in

GOLDEN: Final = ROOT / "tests/vectors/data_folder_v1.tar.xz"
"""Left by the gateway of commit 3b83386 (store format 1, no AMQP yet), killed with a backlog: of twenty messages of d1,
m0 to m19, every fifth an alert, the last fifteen wait for $upstream (alerts first) and for the module detector. d1 has
a session with one subscription. The times to live are 68 years."""
WAITING: Final = [f"m{number}" for number in (5, 10, 15)], [f"m{n}" for n in range(5, 20) if n % 5]


def unpack(folder: Path) -> None:
    shutil.unpack_archive(GOLDEN, folder)


def digests(folder: Path) -> dict[str, str]:
    """What lies in the store, by name."""
    files = [path for path in sorted((folder / "store").iterdir()) if path.name != "lock"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


async def test_what_an_older_gateway_has_acknowledged_arrives_after_the_update(site: GatewaySite) -> None:
    unpack(site.data)
    assert "30 deliveries wait" in (await site.command("store", "status")).out
    await site.gateway.start()
    await site.gateway.said("settings from lastGood in force: 3 routes")
    events = await site.arrived(30)
    upstream = [event.system["messageId"] for event in events if event.system.get("outputName") == "upstream"]
    raw = [event.system["messageId"] for event in events if event.system.get("outputName") == "detector.raw"]
    alerts, others = WAITING
    assert upstream == [*alerts, *others]
    assert raw == [f"m{number}" for number in range(5, 20)]
    assert {event.properties["leafDeviceId"] for event in events} == {"d1"}
    assert {event.properties["kind"] for event in events} == {"old"}
    async with let_in(site, "d1", Dial(clean=False)) as device:
        assert device.sessions == [True], "its subscriptions are kept, too"
        await device.publish(b"{}")
    await site.gateway.stop()


async def test_after_a_rollback_a_newer_store_is_refused_and_nothing_in_it_is_changed(site: GatewaySite) -> None:
    unpack(site.data)
    [segment] = (site.data / "store").glob("*.segment")
    data = bytearray(segment.read_bytes())
    magic, _, _, zero, reserved, store_id, base = SEGMENT.unpack_from(data)
    rest = SEGMENT.pack(magic, 0, VERSION + 1, zero, reserved, store_id, base)[8:]
    data[: SEGMENT.size] = magic + zlib.crc32(rest).to_bytes(4, "little") + rest
    segment.write_bytes(data)
    before = digests(site.data)
    await site.gateway.spawn()
    assert await site.gateway.exit_code() == 2
    said = site.gateway.transcript()
    assert f"a message store of format {VERSION + 1}; this gateway reads format {VERSION} only" in said
    assert "Nothing was changed. Run the gateway version that wrote it until the store is empty" in said
    assert digests(site.data) == before
