"""What a Prometheus sees of a gateway that runs, and what probes are told."""

import json

import aiohttp
from paho.mqtt import client as paho
from prometheus_client.parser import text_string_to_metric_families

from support.gateway_site import GatewaySite, until
from support.numbered_devices import all_arrived, numbered, progress, sending
from support.paho_device import Dial, let_in

EVERYTHING = {"everything": "FROM /messages/* INTO $upstream"}
MIB = 1 << 20
LARGE = 16_000
NAMES = {"iothub", "edge_device", "instance_number"}


async def samples(site: GatewaySite) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """All values by name and labels, as Prometheus' own parser reads them; edgeHub's common labels left out."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{site.address}:9600/metrics") as page:
        text = await page.text()
    assert_common_labels(site, text)
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = frozenset((name, value) for name, value in sample.labels.items() if name not in NAMES)
            values = found.setdefault(sample.name, {})
            assert labels not in values, f"{sample.name} {labels} twice"
            values[labels] = sample.value
    return found


def labels(**pairs: str) -> frozenset[tuple[str, str]]:
    return frozenset(pairs.items())


async def probe(site: GatewaySite, question: str) -> tuple[int, object]:
    url = f"http://{site.address}:9600/healthz/{question}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, json.loads(await answer.text())


async def test_values_are_what_happened(site: GatewaySite) -> None:
    await site.gateway.start(GATEWAY_METRICS_PER_DEVICE="on")
    devices = numbered(site, 2)
    async with sending(devices):
        await progress(devices, 20)
        assert (await samples(site))["edgehub_connected_clients"] == {labels(): 2}
    await all_arrived(site, devices)
    sent = sum(device.sent for device in devices)

    async def all_counted() -> bool:
        found = await samples(site)
        return found.get("edgehub_messages_sent_total", {}).get(labels(to="upstream", to_route_input="")) == sent

    await until(all_counted)
    await site.counted("gateway_received_messages_total", sent)

    upstream = labels(endpoint="$upstream", priority="2000000000")

    async def all_gone() -> bool:
        found = await samples(site)
        return not found["gateway_connections"][labels(listener="mqtt")] and not found["edgehub_queue_length"][upstream]

    await until(all_gone)
    found = await samples(site)
    received = found["edgehub_messages_received_total"]
    assert sum(received.values()) == found["gateway_received_messages_total"][labels()] == sent
    for device in devices:
        assert received[labels(id=device.device)] == device.sent
    assert received[labels(id="other")] == 0
    assert found["edgehub_client_connect_success_total"] == {labels(): 2}
    assert found["gateway_upstream_up"] == {labels(link="module"): 1}
    assert found["gateway_store_state"][labels(state="ready")] == 1
    assert found["gateway_live"] == found["gateway_ready"] == {labels(): 1}
    assert 0 < found["gateway_store_commit_seconds_count"][labels()] <= sent
    assert found["gateway_round_trip_seconds_count"][labels(endpoint="$upstream")] > 0
    assert found["process_resident_memory_bytes"][labels()] > 10_000_000
    assert sum(found["gateway_build_info"].values()) == 1


def assert_common_labels(site: GatewaySite, text: str) -> None:
    """edgeHub's labels stand on all that has its names, and say whose values they are."""
    families = text_string_to_metric_families(text)
    edgehubs = [sample for family in families for sample in family.samples if sample.name.startswith("edgehub_")]
    assert {(each.labels["iothub"], each.labels["edge_device"]) for each in edgehubs} == {(site.hub.hub_name, "edge-1")}
    assert len({each.labels["instance_number"] for each in edgehubs}) == 1


async def test_a_cloud_that_is_away_changes_neither_life_nor_readiness(site: GatewaySite) -> None:
    site.hub.refuse_connections()
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(site.write_settings(routes=EVERYTHING)))
    async with let_in(site, "d1") as device:
        await device.publish(b"1")
    good = {"live": True, "ready": True, "reasons": []}
    assert await probe(site, "live") == (200, good)
    assert await probe(site, "ready") == (200, good)
    assert (await site.command("health", "--ready")).out == "the gateway is ready\n"
    for path in ("/healthz", "/healthz/", "/healthz/all", "/healthz/live/x"):
        async with aiohttp.ClientSession() as session, session.get(f"http://{site.address}:9600{path}") as answer:
            assert answer.status in (401, 404), path
    found = await samples(site)
    assert found["gateway_upstream_up"] == {labels(link="module"): 0}
    assert found["edgehub_queue_length"][labels(endpoint="$upstream", priority="2000000000")] == 1


async def test_a_full_store_is_not_ready_and_lives(site: GatewaySite) -> None:
    site.hub.refuse_connections()
    limits = {"maxBytes": MIB, "whenFull": "refuse"}
    path = site.write_settings(routes=EVERYTHING, storeAndForward=limits)
    await site.gateway.start(GATEWAY_SETTINGS_FILE=str(path))
    async with let_in(site, "d1", Dial(version=paho.MQTTv5)) as device:
        # One by one, and all of one size: behind the first that does not fit, none does.
        for _ in range(MIB // LARGE + 2):
            await device.publish(bytes(LARGE))
        full = {"live": True, "ready": False, "reasons": ["store_full"]}
        assert await probe(site, "ready") == (503, full)
        assert await probe(site, "live") == (200, full)
        ready = await site.command("health", "--ready")
        assert (ready.code, ready.out) == (1, "the gateway is not ready: store full\n")
        alive = await site.command("health")
        assert (alive.code, alive.out) == (0, "the gateway lives: store full\n")
        assert (await samples(site))["gateway_unready_reason"][labels(reason="store_full")] == 1
        site.hub.behave()

        async def takes_again() -> bool:
            await device.publish(bytes(LARGE))
            return (await site.command("health", "--ready")).code == 0

        await until(takes_again)


async def test_nobody_is_healthy_where_no_gateway_runs(site: GatewaySite) -> None:
    answer = await site.command("health")
    assert answer.code == 1
    assert "gateway health: " in answer.error
