"""docs/recipes/one-broker.md as it stands: mosquitto's programs, and a mosquitto of its own behind a bridge."""

from collections.abc import Iterator
from typing import Final

from support.gateway_site import GatewaySite, until
from support.recipe import Recipe

PAGE: Final = "one-broker.md"


async def test_the_page_does_what_it_says(site: GatewaySite, loopback: Iterator[str]) -> None:
    more = {"SITE_PASSWORD": "a long one"}
    async with Recipe.open(PAGE, site, broker=next(loopback), ready="running", more=more) as recipe:
        await recipe.follow("The gateway")
        await site.gateway.start(
            GATEWAY_PLAIN_PORT="1883",
            GATEWAY_PLAIN_ADDRESS=site.address,
            GATEWAY_SETTINGS_FILE=str(recipe.folder / "settings.json"),
        )
        for section in ("Users", "Machines"):
            await recipe.follow(section)
        (event,) = await site.arrived(1)
        assert event.body == b'{"temperature": 31}'
        assert event.properties == {"kind": "climate", "topic": "site/lab/climate", "leafDeviceId": "lab"}
        await recipe.follow("A broker that stays")
        (event,) = await site.arrived(1, after=1)
        assert event.body == b'{"temperature": 33}'
        assert event.properties == {"kind": "climate", "topic": "site/cellar/climate", "leafDeviceId": "cellar"}
        await until(lambda: "'alarms/cellar'" in recipe.text_of("mosquitto.log"))
        assert recipe.left == []
