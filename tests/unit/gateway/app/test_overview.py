from dataclasses import replace
from pathlib import Path

from gateway.app.certificate_watch import Mark, WatchedCertificate
from gateway.app.overview import MAX_PROBLEMS
from gateway.observe.certificates import CertificateKind
from support.page_house import ROUTES, PageHouse

CERTIFICATE = WatchedCertificate(
    kind=CertificateKind.SERVER,
    name="server",
    subject="edge-1",
    issuer="root",
    not_after=1_800_000_000.0,
    days_left=6.44,
    state=Mark.WEEK,
    advice="renew it",
)


async def test_all_that_a_glance_should_tell(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        house.publish(b"{}")
        house.certificates = [CERTIFICATE, replace(CERTIFICATE, state=Mark.GOOD)]
        house.status["upstream"] = {"state": "waiting", "sentence": "waiting for 5 s: no route", "forSecs": 5}
        house.status["endpoints"] = {"lake": {"state": "connected", "sentence": "connected", "forSecs": 1}}
        told = house.overview.tell()
        assert told["gateway"] == {
            "version": "1",
            "hostName": "edge-1",
            "startedAt": "2026-11-21T10:00:00.000Z",
            "uptimeSecs": 5,
            "rssBytes": 50_000_000,
        }
        counts = told["counts"]
        assert (counts["devices"], counts["routes"], counts["messages"], counts["unrouted"]) == (2, 2, 1, 0)
        assert counts["messagesPerSecond"] == 0.2
        assert [(link["name"], link["kind"], link["state"]) for link in told["upstream"]] == [
            ("$upstream", "as the module", "waiting"),
            ("lake", "endpoint", "connected"),
        ]
        assert told["certificates"][0] == {
            "name": "server",
            "subject": "edge-1",
            "issuer": "root",
            "notAfter": "2027-01-15T08:00:00.000Z",
            "daysLeft": 6.44,
            "state": "7 days",
            "advice": "renew it",
        }
        settings = told["settings"]
        assert (settings["version"], settings["source"], settings["good"], settings["problems"]) == (
            3,
            "twin",
            True,
            [],
        )
        assert "route 'hot', column 45" in settings["warnings"][0]
        assert settings["moreWarnings"] == 0
        await house.use({"routes": {f"hot-{number}": ROUTES["hot"] for number in range(200)}})
        settings = house.overview.tell()["settings"]
        assert (len(settings["warnings"]), settings["moreWarnings"]) == (MAX_PROBLEMS, 200 - MAX_PROBLEMS)
        assert len(told["rates"]) == 60
        assert told["store"] == house.status["store"]


async def test_settings_that_were_refused_are_said_with_their_place(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        await house.use({"routes": {"bad": "FROM /messages/* WHERE lenght(a) INTO $upstream"}})
        settings = house.overview.tell()["settings"]
        assert not settings["good"]
        assert "route 'bad', column 24" in settings["problems"][0]
        assert [row["name"] for row in house.overview.routes()] == ["hot", "all"]


async def test_the_busiest_come_first(tmp_path: Path) -> None:
    async with PageHouse.open(tmp_path) as house:
        house.publish(b"{}", device="d1")
        client = house.site.login("d2")
        for number in range(1, 4):
            client.publish("devices/d2/messages/events/", b"{}", packet_id=number)
        house.second()
        top = house.overview.top()
        assert [(row["name"], row["messages"]) for row in top["devices"]] == [("d2", 3), ("d1", 1)]
        assert [(row["name"], row["hits"]) for row in top["routes"]] == [("all", 4), ("hot", 0)]
        assert top["events"][-1]["event"] == "DeviceConnected"
        assert top["unrouted"] == 0
