import time
from pathlib import Path

import pytest
from aiohttp import web

from edgepage.guard import PageClosedError
from gateway.app.claims_desk import ClaimsDesk, open_pages
from gateway.dashboard.claims import FORM, ListedCode, NotDoneError
from gateway.identity.claim_codes import Use
from gateway.identity.claims import burn, read_claims
from gateway.identity.page_token import new_page_token, page_token
from gateway.observe.events import Event
from gateway.observe.page import PageEntered, PageUsed
from support.new_board import secret_of
from support.page_visit import Visitor


def test_a_code_is_made_by_the_commands_own_rules(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    desk = ClaimsDesk(path)
    made = desk.make({**FORM, "id_prefix": "node-", "model": "nodemcu", "expires": "never"})
    (code,) = read_claims(path)[0].by_name.values()
    assert code.secret == secret_of(made.code)
    assert made.code not in repr(made)
    burn(path, made.name, Use(device="node-1", nonce="0" * 32, at=time.time()))
    assert desk.listed() == [
        ListedCode(
            name=made.name,
            kind="claim",
            state="used",
            whom="one board 'node-…' of model nodemcu",
            until="for ever",
            boards=("node-1",),
        )
    ]
    desk.revoke(made.name)
    assert desk.listed() == []


@pytest.mark.parametrize(
    ("field", "typed", "words"),
    [
        ("boards", "0", "1 to 1000"),
        ("expires", "1w", "write 30m"),
        ("id", "a b", "no id"),
        ("model", "<b>", "no model"),
    ],
)
def test_refusals_are_in_the_words_of_the_command(tmp_path: Path, field: str, typed: str, words: str) -> None:
    with pytest.raises(NotDoneError, match=words):
        ClaimsDesk(tmp_path / "claims.json").make({**FORM, field: typed})
    assert not (tmp_path / "claims.json").exists()


def test_too_many_codes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.identity.claim_codes.MAX_CODES", 0)
    with pytest.raises(NotDoneError, match="Revoke some"):
        ClaimsDesk(tmp_path / "claims.json").make(FORM)


def test_a_file_that_cannot_be_used_closes_the_desk(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    path.write_text("{")
    desk = ClaimsDesk(path)
    for use in (desk.listed, lambda: desk.make(FORM), lambda: desk.revoke("0a1b2c3d")):
        with pytest.raises(PageClosedError, match="holds no codes"):
            use()
    path.unlink()
    with pytest.raises(NotDoneError, match="there is no code"):
        desk.revoke("0a1b2c3d")


async def test_the_pages_of_a_data_folder(tmp_path: Path) -> None:
    events: list[Event] = []
    async with Visitor.at(open_pages(tmp_path, "127.0.0.1", events.append)) as visitor:
        token = page_token(tmp_path / "page-token")
        assert (await visitor.log_in(token)).status == 303
        answer = await visitor.send("/claims", dict(FORM))
        (code,) = read_claims(tmp_path / "claims.json")[0].by_name.values()
        assert f"Code {code.name} for one board" in answer.text
        assert (await visitor.send(f"/claims/{code.name}/revoke")).status == 303
        new_page_token(tmp_path / "page-token")
        assert (await visitor.ask("GET", "/claims")).status == 401
        (tmp_path / "page-token").write_text("spoilt")
        assert (await visitor.ask("GET", "/claims")).status == 503
    assert [type(event) for event in events[:3]] == [PageEntered, PageUsed, PageUsed]
    assert token not in str(events)


async def test_every_route_but_the_login_wants_a_login(tmp_path: Path) -> None:
    pages = open_pages(tmp_path, "127.0.0.1", lambda _event: None)
    application = web.Application()
    for each in pages:
        each.add_to(application)
    routes = {(route.method, route.resource.canonical) for route in application.router.routes() if route.resource}
    assert {("GET", "/"), ("GET", "/claims"), ("POST", "/claims"), ("POST", "/claims/{name}/revoke")} < routes
    # The page that says how to log in is made of them.
    programs = {(method, path) for method, path in routes if path.startswith("/assets/")}
    async with Visitor.at(pages) as stranger:
        for method, path in routes - programs - {("GET", "/login")}:
            answer = await stranger.ask(method, path.replace("{name}", "0a1b2c3d"))
            assert answer.status == 401, (method, path)
