import re

from aiohttp import web

from gateway.dashboard.frame import SHELL, ViewPages
from support.page_visit import Visitor


async def test_the_page_of_views_is_a_frame_that_its_scripts_fill() -> None:
    async with Visitor.at((ViewPages(),)) as visitor:
        page = await visitor.ask("GET", "/")
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "needs JavaScript" in page.text
        for source in re.findall(r'(?:src|href)="(/assets/gateway/[^"]+)"', page.text):
            assert (await visitor.ask("GET", source)).status == 200


async def test_every_script_of_the_views_is_served() -> None:
    application = web.Application()
    ViewPages().add_to(application)
    paths = {route.resource.canonical for route in application.router.routes() if route.resource}
    assert {"/", "/assets/gateway/views.js", "/assets/gateway/views.css"} <= paths


def test_codes_are_reached_without_any_script() -> None:
    assert [view.path for view in SHELL.views if not view.path.startswith("/#")] == ["/claims"]
