"""The stand-in's page in a real browser, with a device by Azure's own SDK: story S3 without a terminal."""

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.iot.device import IoTHubDeviceClient, Message, MethodResponse
from playwright.async_api import Browser, expect

from edgewire.message import identity
from standin.app import Ports, StandIn
from standin.page import page_token
from support.azure_device import Inbox, blocking, connected, listen
from support.browser import PHONE, Window, open_window

# The SDK pins its TLS context to 1.2, which Python calls deprecated (iothub_wire.md §0.5).
pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2 is deprecated:DeprecationWarning")

BOARD = "greenhouse"
HOSTILE = '<img src=x onerror="document.title=1">'


@pytest.fixture
async def standin(tmp_path: Path, loopback: Iterator[str]) -> AsyncIterator[StandIn]:
    ports = Ports(websocket=None, amqp=None, page=0)
    async with StandIn(tmp_path / "run", address=next(loopback), modules=("gateway",), ports=ports) as standin:
        yield standin
        assert standin.counters["faults of the stand-in"] == 0


def login(standin: StandIn) -> str:
    assert standin.page_address is not None
    return f"{standin.page_address}login?token={page_token(standin.directory)}"


def board_of(standin: StandIn) -> Any:
    entry = standin.add_device(BOARD)
    return IoTHubDeviceClient.create_from_connection_string(
        entry.connection_string(standin.address),
        server_verification_cert=standin.trust_bundle,
        connection_retry=False,
    )


def throttles(standin: StandIn) -> bool:
    """Asked anew: another than this test changes it."""
    return standin.hub.faults.throttling


async def go(window: Window, view: str) -> None:
    """Open a view, as a press on its line does."""
    await window.page.get_by_role("link", name=view, exact=True).click()
    await expect(window.page.get_by_role("heading", level=1, name=view)).to_be_visible()


async def test_a_message_of_a_device_is_seen_as_it_arrives(standin: StandIn, browser: Browser) -> None:
    async with open_window(browser, login(standin)) as window, connected(board_of(standin)) as board:
        await go(window, "Events")
        message = Message('{"temperature":31.2}', content_type="application/json", content_encoding="utf-8")
        message.custom_properties["kind"] = "climate"
        await blocking(board.send_message, message)
        row = window.page.locator(".live details").first
        await expect(row).to_contain_text(BOARD)
        await expect(row).to_contain_text('{"temperature":31.2}')
        await row.locator("summary").click()
        await expect(row).to_contain_text("climate")
        for number in range(8):
            await blocking(board.send_message, f'{{"temperature":{20 + number}}}')
        await expect(
            window.page.get_by_role("button", name="Resume")
        ).to_be_visible()  # who reads a row is left in peace
        await window.page.get_by_role("button", name="Resume").click()
        await expect(window.page.locator(".live details")).to_have_count(9)
        await window.picture("standin-events")
        await blocking(board.send_message, Message(bytes(range(128, 256)) * 1_600))
        await expect(row).to_contain_text("200 KiB, no text")
        await row.locator("summary").click()
        await expect(row).to_contain_text("Cut: the whole body has 200 KiB.")
        await window.page.get_by_role("button", name="Resume").click()
        await window.page.get_by_role("searchbox").fill("27}")
        await expect(window.page.locator(".live details")).to_have_count(1)
        window.assert_content()


async def test_a_device_is_sent_a_message_called_and_given_a_twin(standin: StandIn, browser: Browser) -> None:
    messages, patches = Inbox(), Inbox()
    async with open_window(browser, login(standin)) as window, connected(board_of(standin)) as board:

        def answer(request: Any) -> None:
            board.send_method_response(
                MethodResponse.create_from_method_request(request, 200, {"blinked": request.payload})
            )

        await listen(board, "on_message_received", messages)
        await listen(board, "on_method_request_received", answer)
        await listen(board, "on_twin_desired_properties_patch_received", patches)
        await go(window, "Devices")
        page = window.page
        await page.get_by_role("link", name=BOARD).click()
        await expect(page.get_by_text("connected", exact=True)).to_be_visible()

        await page.get_by_role("button", name="Send a message").click()
        await page.get_by_role("textbox", name="Body").fill("on")
        await page.get_by_role("button", name="Send", exact=True).click()
        await expect(page.get_by_text("waits for greenhouse")).to_be_visible()
        assert (await messages.next()).data == b"on"
        await page.keyboard.press("Escape")

        await page.get_by_role("button", name="Invoke a method").click()
        await page.get_by_role("textbox", name="Method").fill("blink")
        await page.get_by_role("textbox", name="Payload").fill("3")
        await page.get_by_role("button", name="Invoke", exact=True).click()
        await expect(page.get_by_text("The device answered 200.")).to_be_visible()
        await expect(page.get_by_role("region", name="answer")).to_contain_text('"blinked": 3')
        await page.keyboard.press("Escape")

        await blocking(board.patch_twin_reported_properties, {"firmware": "1.4.2"})
        await page.get_by_role("button", name="Read the twin again").click()
        await expect(page.get_by_role("region", name="reported properties")).to_contain_text("1.4.2")
        await page.get_by_label(re.compile("^Desired")).fill('{"interval": 5}')
        await page.get_by_role("button", name="Save").dblclick()
        assert (await patches.next())["interval"] == 5
        await expect(page.get_by_text("Desired, version 2")).to_be_visible()
        assert standin.hub.twin(identity(BOARD)).desired_version == 2
        await window.picture("standin-device")
        window.assert_content()


async def test_a_method_of_a_device_that_is_away_is_told_as_the_hub_tells_it(
    standin: StandIn, browser: Browser
) -> None:
    standin.add_device(BOARD)
    async with open_window(browser, f"{login(standin)}") as window:
        page = window.page
        await go(window, "Devices")
        await page.get_by_role("link", name=BOARD).click()
        await page.get_by_role("button", name="Invoke a method").click()
        await page.get_by_role("textbox", name="Method").fill("blink")
        await page.get_by_role("button", name="Invoke", exact=True).click()
        await expect(page.locator("dialog .banner")).to_contain_text("greenhouse is not connected")
        window.assert_content(but=("404",))


async def test_a_device_is_added_disabled_and_removed(standin: StandIn, browser: Browser) -> None:
    async with open_window(browser, login(standin)) as window:
        page = window.page
        await go(window, "Devices")
        await page.get_by_role("button", name="Add a device").click()
        await page.get_by_role("textbox", name="Name").fill(BOARD)
        await page.get_by_role("button", name="Add", exact=True).click()
        await expect(page.get_by_role("region", name="connection string")).to_contain_text(f"DeviceId={BOARD}")
        await page.keyboard.press("Escape")
        await page.get_by_role("link", name=BOARD).click()
        await page.get_by_role("button", name="Disable").click()
        await expect(page.get_by_text("disabled", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Remove").click()
        await page.locator("dialog").get_by_role("button", name="Remove").click()
        await expect(page.get_by_role("heading", level=1, name="Devices")).to_be_visible()
        await expect(page.get_by_role("link", name=BOARD)).to_have_count(0)
        window.assert_content()


async def test_a_fault_is_switched_on_and_all_are_ended(standin: StandIn, browser: Browser) -> None:
    async with open_window(browser, login(standin), theme="dark") as window:
        page = window.page
        await go(window, "Faults")
        before = await page.get_by_label("throttling").element_handle()
        await page.get_by_label("throttling").focus()
        await page.keyboard.press("Space")
        await window.has_said("throttling is true.")
        await page.wait_for_function("(one) => !one.isConnected", arg=before)  # the list is drawn anew
        await expect(page.get_by_label("throttling")).to_be_focused()
        assert throttles(standin)
        await go(window, "Overview")
        await expect(page.get_by_text("1 fault on purpose.")).to_be_visible()
        await window.picture("standin-overview-dark")
        await go(window, "Faults")
        await page.get_by_role("button", name="End all").click()
        await expect(page.get_by_label("throttling")).not_to_be_checked()
        assert not throttles(standin)
        window.assert_content()


async def test_it_fits_a_phone_and_what_devices_say_is_text(standin: StandIn, browser: Browser) -> None:
    async with open_window(browser, login(standin), size=PHONE) as window, connected(board_of(standin)) as board:
        hostile = Message(HOSTILE)
        hostile.custom_properties[HOSTILE] = HOSTILE * 9
        await blocking(board.send_message, hostile)
        for view in ("Overview", "Events", "Devices", "Log", "Faults"):
            await go(window, view)
            if view == "Events":
                await window.page.locator(".live summary").first.click()
                await expect(window.page.locator(".opened")).to_contain_text("<img")
            await window.assert_fits()
        assert await window.page.locator("img").count() == 0
        await go(window, "Log")
        await expect(window.page.get_by_text(f"connected {BOARD}")).to_be_visible()
        await window.picture("standin-log-phone")

        anew = {"notes": [{"number": 1, "at": 1_800_000_000, "text": "it has begun anew"}], "last": 1}
        await window.page.route("**/api/notes?*", lambda route: route.fulfill(json=anew))
        standin.hub.notes.add("the last before its end")
        await expect(window.page.get_by_text("it has begun anew").first).to_be_visible()
        window.assert_content()
