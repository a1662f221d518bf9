"""What an operator does at the page, in Chromium, with a gateway's process and devices over TLS."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, Route, expect

from edgewire.message import identity
from support.answering_device import hearing
from support.browser import PHONE, open_window
from support.page_site import DEVICES, HOT, PageSite, at_page, go, login_of, until
from support.paho_device import JSON

TAG = "<img src=x onerror=hacked=1>"


async def test_the_overview_devices_and_the_live_flow_show_what_devices_do(browser: Browser, house: PageSite) -> None:
    await house.remembers(25)
    async with at_page(browser, house) as window:
        page = window.page
        await expect(page.get_by_role("link", name=re.compile("Devices connected"))).to_contain_text("5 of 6")
        await expect(page.get_by_role("region", name="Upstream")).to_contain_text("connected")
        await expect(page.get_by_role("row", name=re.compile("^archive"))).to_contain_text(str(5 * house.sent))
        await expect(page.get_by_role("region", name="Certificates")).to_contain_text("days left")
        latest = page.get_by_role("region", name="Latest events")
        await expect(latest).to_contain_text(
            re.compile("' connected|endpoint 'archive'")
        )  # which is tried again and again
        await look_at_devices(page)
        await watch_the_flow(page, house)
        await window.picture("flow-light")
        await page.get_by_role("button", name="Pause").click()
        await go(window, "#/events", "Events")
        await page.get_by_label("Search events").fill("greenhouse")
        lines = page.locator(".timeline-line")
        await expect(lines.filter(has_not_text="greenhouse")).to_have_count(0)
        await expect(lines.filter(has_text="'greenhouse' connected")).to_have_count(1)
        await window.assert_fits()
        await go(window, "#/", "Overview")
        await expect(page.get_by_role("region", name="Certificates")).to_contain_text("days left")
        await window.picture("overview-light")
        await window.assert_fits()
        window.assert_content()


async def look_at_devices(page: Page) -> None:
    """All, those of a search, in another order, and one."""
    await page.get_by_role("link", name="Devices", exact=True).click()
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(6)
    await expect(page.locator("tr", has_text="boiler-1")).to_contain_text("connectedMQTT")
    await expect(page.locator("tr", has_text="spare-7")).to_contain_text("never seen")
    await page.get_by_role("button", name="Device", exact=True).click()
    await expect(rows.first).to_contain_text("weather")
    await page.keyboard.press("/")
    await page.keyboard.type("GREEN")
    await expect(rows).to_have_count(1)
    await page.keyboard.press("Control+A")
    await page.keyboard.press("Delete")
    await expect(rows).to_have_count(6)
    await page.get_by_role("group", name="State").get_by_text("Away").click()
    await expect(rows).to_have_count(1)
    await page.get_by_role("group", name="State").get_by_text("All").click()


@asynccontextmanager
async def listened_anew(page: Page) -> AsyncIterator[None]:
    """What is done in the block changes the filter: the stream is opened again, and what passed before is asked for."""
    async with page.expect_response(lambda answer: "/api/messages" in answer.url) as asked:
        yield
    await (await asked.value).finished()
    # Its answer is read and drawn in turns of the page's own: those are over when it has read another one.
    await page.evaluate(
        "fetch('/api/routes').then((answer) => answer.json()).then(() => new Promise(requestAnimationFrame))"
    )


async def watch_the_flow(page: Page, house: PageSite) -> None:
    """Rows come; one filters, opens one, which pauses; and goes on."""
    rows = page.locator(".live > li")
    async with listened_anew(page):
        await page.get_by_role("link", name="Live flow").click()
    await expect(page.get_by_text(re.compile(r"^Live\."))).to_be_visible()
    before = await rows.count()
    assert before >= 25
    await house.all_send()
    await expect(rows).to_have_count(before + 5)
    first = rows.filter(has_text="press-3").first
    await expect(first).to_contain_text(re.compile(r"press-3\s*vibration\s*archive\s*/modules/detector"))

    async with listened_anew(page):
        await page.get_by_label("Filter by device").fill("press")
    await expect(rows.filter(has_not_text="press-3")).to_have_count(0)
    presses = await rows.count()
    await house.all_send()
    await expect(rows).to_have_count(presses + 1)
    async with listened_anew(page):
        await page.get_by_label("Route", exact=True).select_option("alerts")
    await expect(page.get_by_text("No message fits the filter")).to_be_visible()
    async with listened_anew(page):
        await page.get_by_label("Filter by device").fill("")
    await house.all_send(5)
    await expect(rows.first).to_contain_text("pressure 4.1 bar")
    async with listened_anew(page):
        await page.get_by_label("Route", exact=True).select_option("")

    await rows.nth(1).locator("summary").click()
    await expect(rows.nth(1)).to_contain_text("connectionDeviceId")
    shown = await rows.count()
    await house.all_send()
    await expect(page.get_by_role("button", name="Resume (5 new)")).to_be_visible()
    await expect(rows).to_have_count(shown)
    await page.get_by_role("button", name="Resume").click()
    await expect(rows).to_have_count(shown + 5)


async def test_routes_are_tried_edited_and_played_over_what_passed(browser: Browser, house: PageSite) -> None:
    await house.remembers(40)
    async with at_page(browser, house) as window:
        page = window.page
        await page.get_by_role("link", name="Routes", exact=True).click()
        row = page.get_by_role("row", name=re.compile("^archive"))
        await expect(row).to_contain_text(str(5 * house.sent))
        await page.get_by_role("link", name="Try and edit").click()

        await page.get_by_role("textbox", name="Message as JSON").fill(
            json.dumps({"device": "d", "body": {"temperature": 21}})
        )
        hot = page.locator('.route-block[data-name="hot"]')
        await expect(hot).to_contain_text("leaves it")
        mark = hot.locator("mark")
        await expect(mark).to_have_text("$body.temperature > 30")
        await expect(mark).to_have_attribute("data-value", "false")
        await mark.hover()
        await expect(page.get_by_role("tooltip")).to_contain_text("$body.temperature is 21")
        await hot.locator(".part", has_text="is_number($body.temperature)").last.focus()
        await expect(page.get_by_role("tooltip")).to_have_text("is_number($body.temperature) is true")

        await page.get_by_role("button", name="Pick a recent one").click()
        await page.get_by_role("dialog").get_by_role("button", name=re.compile("press-3")).first.click()
        await expect(page.get_by_role("textbox", name="Message as JSON")).to_have_value(re.compile('"rms"'))
        await expect(page.locator(".outcome")).to_contain_text("goes to /modules/detector/inputs/raw, archive")

        edited = HOT.replace("30", "25")
        await page.get_by_label("hot", exact=True).fill(edited.replace("is_number", "is_numbr"))
        await expect(hot).to_contain_text("did you mean")
        await expect(hot.locator(".wrong-place")).to_have_text("is_numbr")
        await page.get_by_label("hot", exact=True).fill(edited)
        await expect(hot).to_contain_text("edited")
        await page.get_by_role("button", name="Replay").click()
        await expect(
            page.get_by_text(re.compile(r"messages replayed: 1 route would take others than now\."))
        ).to_be_visible()
        await page.get_by_text(re.compile(r"messages that it would gain")).click()
        gained = page.locator(".replayed .live > li")
        await expect(gained.first).to_contain_text("temperature")
        for text in await gained.locator(".flow-body").all_inner_texts():
            assert 25 < json.loads(text)["temperature"] <= 30

        await page.evaluate("scrollTo(0, 0)")
        await window.picture("try-light")

        await page.get_by_role("button", name="Add", exact=True).click()
        await page.get_by_role("button", name="Rename new-route-1").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("hot")
        await page.get_by_role("dialog").get_by_role("button", name="Rename").click()
        await expect(page.get_by_text("There is a route of this name.")).to_be_visible()
        await page.get_by_role("dialog").get_by_label("Name").fill("warm")
        await page.get_by_role("dialog").get_by_role("button", name="Rename").click()
        await expect(page.locator('.route-block[data-name="warm"]')).to_contain_text("new")
        await page.get_by_role("button", name="Remove alerts").click()
        await page.get_by_role("button", name="Copy JSON of the settings").click()
        copied = json.loads(await page.evaluate("navigator.clipboard.readText()"))
        assert copied["routes"]["hot"] == {"route": edited, "priority": 5}
        assert list(copied["routes"]) == ["hot", "vibration", "archive", "warm"]
        await page.get_by_role("button", name="Start again").click()
        await expect(page.locator(".route-block")).to_have_count(4)
        await expect(hot).not_to_contain_text("edited")
        await page.get_by_label("hot", exact=True).fill(edited)
        await expect(hot).to_contain_text("edited")
        assert copied["endpoints"]["archive"]["type"] == "kafka"
        await window.assert_fits()
        window.assert_content()


async def test_what_is_typed_stays_when_the_message_to_begin_with_comes_late(browser: Browser, house: PageSite) -> None:
    await house.remembers(1)
    typed = asyncio.Event()

    async def late(route: Route) -> None:
        await typed.wait()
        await route.continue_()

    async with at_page(browser, house) as window:
        await window.page.route("**/api/messages?last=1", late)
        await window.page.get_by_role("link", name="Routes", exact=True).click()
        await window.page.get_by_role("link", name="Try and edit").click()
        field = window.page.get_by_role("textbox", name="Message as JSON")
        await field.fill('{"device": "mine"}')
        async with window.page.expect_response(re.compile(r"/api/messages/\d+$")):
            typed.set()
        await expect(window.page.locator(".outcome")).not_to_be_empty()
        await expect(field).to_have_value('{"device": "mine"}')
        window.assert_content()


async def test_a_device_gets_a_message_a_call_and_another_twin_by_keyboard_too(
    browser: Browser, house: PageSite
) -> None:
    await house.remembers(15)
    messages = await hearing(house.devices["greenhouse"])
    async with at_page(browser, house, theme="dark") as window:
        page = window.page
        await go(window, "#/devices/greenhouse", "greenhouse")
        await expect(page.get_by_role("region", name="Connection")).to_contain_text("messages and methods")

        opener = page.get_by_role("button", name="Send a message")
        await opener.focus()
        await page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        await expect(dialog.get_by_label("Body")).to_be_focused()
        await dialog.get_by_label("Properties").fill("led")
        await dialog.get_by_role("button", name="Send").click()
        await expect(dialog.get_by_text("is no line name=value")).to_be_visible()
        await dialog.get_by_label("Properties").fill("led=red")
        await dialog.get_by_role("button", name="Send").click()
        await expect(dialog.get_by_text("The device has taken the message.")).to_be_visible()
        topic, body = await messages.next()
        assert (json.loads(body), "led=red" in topic) == ({"led": "on"}, True)
        await page.keyboard.press("Escape")
        await expect(dialog).to_have_count(0)
        await expect(opener).to_be_focused()

        await page.get_by_role("button", name="Invoke a method").click()
        await dialog.get_by_label("Method").fill("blink")
        await dialog.get_by_label("Payload").fill('{"times": 3}')
        await dialog.get_by_role("button", name="Invoke").click()
        await expect(dialog.get_by_text("The device answered 201.")).to_be_visible()
        await expect(dialog.get_by_label("answer", exact=True)).to_contain_text('"times": 3')
        await page.keyboard.press("Escape")

        twin = page.get_by_role("region", name="Twin")
        await twin.get_by_label(re.compile("^Desired")).fill('{"interval": 5')
        await expect(twin.get_by_role("status")).to_contain_text("Line 1, column 15")
        await twin.get_by_label(re.compile("^Desired")).fill('{"interval": 5}')
        await twin.get_by_role("button", name="Save").click()
        await window.has_said("The desired properties are changed.")
        assert house.site.hub.hub.twin(identity("greenhouse")).desired == {"interval": 5}
        await expect(twin).to_contain_text("Desired, version 2")
        await expect(twin).to_contain_text(re.compile(r"read (now|\d+ s ago)"))
        await window.picture("device-dark")

        await go(window, "#/devices/nobody", "nobody")
        await expect(page.get_by_role("region", name="Connection")).to_contain_text("there is no device 'nobody'")
        await window.assert_fits()
        window.assert_content(but=["404"])  # the browser tells of each


async def test_every_view_fits_a_phone_and_both_themes_can_be_chosen(browser: Browser, house: PageSite) -> None:
    await house.remembers(20)
    async with at_page(browser, house, size=PHONE, theme="dark") as window:
        page = window.page
        views = {
            "#/": "Overview",
            "#/devices": "Devices",
            "#/devices/greenhouse": "greenhouse",
            "#/flow": "Live flow",
            "#/routes": "Routes",
            "#/routes/try": "Try routes",
            "#/events": "Events",
        }
        for path, heading in views.items():
            await go(window, path, heading)
            await expect(page.locator(".skeleton")).to_have_count(0)
            await window.assert_fits()
        await expect(page.locator(".timeline-line").first).to_be_visible()
        await go(window, "#/devices/greenhouse", "greenhouse")
        await page.get_by_role("button", name="Send a message").click()
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.locator("dialog .banner")).to_be_in_viewport(ratio=1)
        await page.keyboard.press("Escape")
        await go(window, "#/routes/try", "Try routes")
        await expect(page.locator(".outcome")).to_contain_text("This message goes")
        await window.assert_fits()
        await go(window, "#/flow", "Live flow")
        await expect(page.get_by_text(re.compile(r"^Live\."))).to_be_visible()
        await expect(page.locator(".live > li").nth(19)).to_be_attached()
        await window.assert_fits()
        await window.picture("flow-phone-dark")
        await go(window, "#/", "Overview")
        await expect(page.get_by_role("region", name="Certificates")).to_contain_text("days left")
        await window.assert_fits()
        await window.picture("overview-phone-dark")

        ground = "getComputedStyle(document.body).backgroundColor"
        dark = await page.evaluate(ground)
        await page.get_by_role("button", name="Theme: as the system").click()
        await expect(page.get_by_role("button", name="Theme: light")).to_be_focused()
        light = await page.evaluate(ground)
        assert light != dark
        await page.reload()
        assert await page.evaluate(ground) == light
        await page.get_by_role("button", name="Theme: light").click()
        assert await page.evaluate(ground) == dark
        await page.goto(f"{house.home}/claims")
        await window.assert_fits()
        window.assert_content(but=["409"])  # nobody listens for a message


async def test_codes_are_made_with_and_without_javascript(browser: Browser, house: PageSite) -> None:
    async with open_window(browser, house.login, script=False) as window:
        page = window.page
        await page.get_by_role("link", name="Codes", exact=True).click()
        await page.get_by_label("For boards of this model").fill("nodemcu")
        await page.get_by_role("button", name="Make a code").click()
        await expect(page.locator("output.code")).to_have_text(re.compile(r"^[A-Z0-9]{4}(-[A-Z0-9]{4})+$"))
        await page.get_by_role("button", name="Revoke").click()
        await expect(page.get_by_text("There are none")).to_be_visible()
    async with at_page(browser, house) as window:
        page = window.page
        await page.get_by_role("link", name="Codes", exact=True).click()
        await page.get_by_role("button", name="Make a code").click()
        await expect(page.locator("output.code")).to_be_visible()
        await expect(page.get_by_role("link", name="Codes", exact=True)).to_have_attribute("aria-current", "page")
        await page.get_by_role("link", name="Devices", exact=True).click()
        await expect(page.locator("tbody tr")).to_have_count(len(DEVICES) + 1)
        window.assert_content()


async def test_a_gateway_that_is_gone_and_a_login_that_has_ended_are_said(browser: Browser, house: PageSite) -> None:
    async with at_page(browser, house) as window:
        page = window.page
        await go(window, "#/flow", "Live flow")
        await expect(page.get_by_text(re.compile(r"^Live\."))).to_be_visible()
        await house.site.gateway.kill()
        notice = page.locator("#notice")
        await expect(notice).to_contain_text("No answer.")
        await house.site.gateway.start()
        await expect(notice).to_be_empty()
        await window.has_said("It answers again.")
        await expect(page.get_by_text(re.compile(r"^Live\."))).to_be_visible()

        await login_of(house.site, "--new")
        await expect(notice).to_contain_text("Your login has ended.")
        await notice.get_by_role("link", name="Log in").click()
        await expect(page.get_by_text("Run gateway page where the gateway runs")).to_be_visible()
        window.assert_content(but=["ERR_", "401", "503"])


async def test_what_devices_send_is_text_and_never_a_program(browser: Browser, house: PageSite) -> None:
    site = house.site
    evil = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>{{7*7}}\'`'
    site.write_settings(routes={"all": f"FROM /messages/* WHERE kind <> '{TAG}' INTO $upstream"})
    device = house.devices["weather"]
    await house.remembers(1)
    await device.publish(json.dumps({evil: evil}), f"{JSON}&%3Cimg%20src%3Dx%20onerror%3Dhacked%3D1%3E=%3Cscript%3E")
    await device.publish(evil, "kind=" + "%3Cb%3E")
    async with at_page(browser, house) as window:
        page = window.page
        for path, heading in (
            ("#/flow", "Live flow"),
            ("#/devices/weather", "weather"),
            ("#/routes", "Routes"),
            ("#/routes/try", "Try routes"),
            ("#/events", "Events"),
            ("#/devices/%3Cimg%20src=x%20onerror=hacked=1%3E", TAG),
            ("#/flow?text=%3Cimg%20src=x%20onerror=hacked=1%3E", "Live flow"),
        ):
            await go(window, path, heading)
            for summary in await page.locator(".live summary").all():
                await summary.click()
            assert await page.evaluate(
                "[window.hacked, document.querySelectorAll('main img, main script, main b').length]"
            ) == [None, 0]
        await go(window, "#/flow", "Live flow")
        await expect(page.locator(".live")).to_contain_text("<img src=x onerror=")
        await go(window, "#/routes", "Routes")
        await until(lambda: shows(page, TAG))
        window.assert_content(but=["400", "404"])  # of what is no device, told by the browser


async def shows(page: Page, text: str) -> bool:
    return text in await page.locator("main").inner_text()
