"""docs/recipes/paho.md as it stands, with the paho-mqtt of this environment, and with tokens that end soon."""

from edgewire.iothub import sas
from edgewire.message import identity
from support.gateway_site import KEY, GatewaySite, until
from support.recipe import DEVICE, Recipe


async def test_the_page_does_what_it_says(site: GatewaySite) -> None:
    site.hub.add_device(DEVICE, keys=(sas.encode_key(KEY),))
    await site.gateway.start(GATEWAY_UPSTREAM_AMQP="edgehub", GATEWAY_TOKEN_SKEW_S="0")
    await site.gateway.said("connected upstream on behalf of devices")
    async with Recipe.open("paho.md", site, ready="connected") as recipe:
        await recipe.follow("A device")
        await recipe.follow("The program")
        assert recipe.left == []
        events = await site.arrived(2)
        assert {event.device for event in events} == {DEVICE}
        assert {event.body for event in events} == {b'{"temperature": 31}'}
        assert events[0].properties == {"room": "cellar"}
        assert (events[0].system["contentType"], events[0].system["contentEncoding"]) == ("application/json", "utf-8")
        site.hub.send_c2d(identity(DEVICE), b"turn left")
        await until(lambda: "heard: turn left" in recipe.text_of("boiler.log"))
        await until(lambda: "on disk: packet " in recipe.text_of("boiler.log"))
        assert "not let in" not in recipe.text_of("boiler.log")
        await recipe.type("kill $!; wait $!")
        # A token is made as the one before ends, and paho waits a second or more before it connects.
        await recipe.type("TOKEN_LIFE_S=5 python3 boiler.py > again.log 2>&1 &")
        await until(lambda: recipe.text_of("again.log").count("connected") > 2)
