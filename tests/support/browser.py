"""Debian's Chromium without a window, driven by playwright; what its console says against a page is kept."""

import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

PATIENCE_S: Final = 40.0
PHONE: Final = (360, 780)
DESKTOP: Final = (1440, 900)
PICTURES: Final = Path(__file__).parents[2] / "docs/screenshots"
MAX_PICTURE_BYTES: Final = 200_000

Theme = Literal["light", "dark"]

# Chromium's sandbox wants user namespaces, which containers and root seldom have; these pages are ours.
_OPTIONS: Final = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--font-render-hinting=none")
# Told as events by whoever is stopped, and in the console: either would do, both is sure.
# What is said shortly is gone after five seconds, also while nobody had time to look: all of it is kept.
_WATCH: Final = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`);
});
window.toasts = [];
new MutationObserver((changes) => {
  for (const node of changes.flatMap((change) => [...change.addedNodes])) {
    if (node.classList?.contains("toast")) {
      window.toasts.push(node.textContent);
    }
  }
}).observe(document, { childList: true, subtree: true });
"""


@dataclass
class Window:
    """A page in a browser, and what it has complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def assert_content(self, *, but: Sequence[str] = ()) -> None:
        """The console has no error, no warning and no violation; `but`: parts of those that must be."""
        left = [line for line in self.complaints if not any(part in line for part in but)]
        assert not left, left

    async def has_said(self, text: str) -> None:
        """Return when the page has said this shortly since it was loaded."""
        await self.page.wait_for_function("(text) => window.toasts.some((one) => one.includes(text))", arg=text)

    async def assert_fits(self) -> None:
        """Nothing is wider than the window."""
        wide = await self.page.evaluate(
            "() => [document.documentElement.scrollWidth, innerWidth, ...[...document.querySelectorAll('main *')]"
            ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1)"
            ".slice(0, 5).map((one) => one.outerHTML.slice(0, 120))]"
        )
        assert wide[0] <= wide[1], wide

    async def picture(self, name: str, *, whole: bool = False) -> None:
        """docs/screenshots/NAME.png, written where SCREENSHOTS=write is set."""
        if os.environ.get("SCREENSHOTS") != "write":
            return
        await self.page.evaluate("document.fonts.ready")
        path = PICTURES / f"{name}.png"
        await self.page.screenshot(path=path, full_page=whole, animations="disabled", caret="hide")
        assert path.stat().st_size <= MAX_PICTURE_BYTES, f"{path} has {path.stat().st_size} bytes"


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """A browser."""
    program = shutil.which("chromium")
    assert program, "there is no chromium: run make peers"
    expect.set_options(timeout=PATIENCE_S * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=_OPTIONS, timeout=2 * PATIENCE_S * 1000
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def open_window(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int] = DESKTOP,
    theme: Theme = "light",
    script: bool = True,
) -> AsyncIterator[Window]:
    """A window of its own: no cookie, no storage of another. `url` is loaded."""
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        java_script_enabled=script,
        reduced_motion="reduce",
        has_touch=size == PHONE,
        locale="en-GB",
        timezone_id="Europe/Berlin",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(PATIENCE_S * 1000)
    try:
        page = await context.new_page()
        window = Window(page)

        def hear(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                window.complaints.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

        page.on("console", hear)
        page.on("pageerror", lambda error: window.complaints.append(f"uncaught: {error}"))
        if script:
            await page.add_init_script(_WATCH)
        await page.goto(url)
        yield window
    finally:
        await context.close()
