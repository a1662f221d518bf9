from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser

import pytest

from edgepage.guard import Guard, PageClosedError
from gateway.dashboard import claims
from gateway.dashboard.claims import ClaimsPages, ListedCode, NewCode, NotDoneError
from gateway.dashboard.door import HOUSE, Reporter
from gateway.observe.events import Event
from gateway.observe.page import PageAction, PageUsed
from support.page_visit import TOKEN, Visitor

EVIL = "<script>alert(1)</script>\"'&"


@dataclass
class Desk:
    """Codes in memory; a model that is EVIL is refused in words that repeat it."""

    codes: list[ListedCode] = field(default_factory=list)
    typed: list[Mapping[str, str]] = field(default_factory=list)
    is_closed: bool = False

    def listed(self) -> Sequence[ListedCode]:
        if self.is_closed:
            raise PageClosedError("claims.json cannot be read. Check the disk")
        return self.codes

    def make(self, typed: Mapping[str, str]) -> NewCode:
        self.typed.append(typed)
        if EVIL in typed.values():
            raise NotDoneError(f"'{EVIL}' is no model")
        return NewCode(code="ABCD-EFGH-JKLM", name="0a1b2c3d", whom="one board", until="for ever")

    def revoke(self, name: str) -> None:
        kept = [code for code in self.codes if code.name != name]
        if len(kept) == len(self.codes):
            raise NotDoneError(f"there is no code '{name}'")
        self.codes = kept


def listed(name: str = "0a1b2c3d", whom: str = "one board", boards: Sequence[str] = ()) -> ListedCode:
    return ListedCode(name=name, kind="claim", state="open", whom=whom, until="for ever", boards=boards)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
async def visitor(desk: Desk, events: list[Event]) -> AsyncIterator[Visitor]:
    guard = Guard(HOUSE, token=lambda: TOKEN, address="127.0.0.1", witness=Reporter(lambda _event: None))
    async with Visitor.at((guard, ClaimsPages(desk, events.append))) as visitor:
        await visitor.log_in()
        yield visitor


class Reader(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def value(self, name: str) -> str | None:
        """What stands in an input."""
        return next(attributes["value"] for tag, attributes in self.tags if attributes.get("name") == name)

    def chosen(self) -> list[str | None]:
        """What is selected."""
        return [attributes["value"] for tag, attributes in self.tags if tag == "option" and "selected" in attributes]


async def test_codes_are_listed_with_what_became_of_them(visitor: Visitor, desk: Desk) -> None:
    assert "There are none" in (await visitor.ask("GET", "/claims")).text
    desk.codes = [listed(boards=("node-1", "node-2"))]
    page = (await visitor.ask("GET", "/claims")).text
    for told in ("0a1b2c3d", ">claim<", ">open<", "one board", "for ever", "node-1, node-2"):
        assert told in page
    assert 'action="/claims/0a1b2c3d/revoke"' in page


async def test_a_long_list_is_cut_and_says_so(visitor: Visitor, desk: Desk) -> None:
    desk.codes = [listed(f"{number:08x}", boards=["n"] * 25) for number in range(claims.MAX_ROWS + 7)]
    page = (await visitor.ask("GET", "/claims")).text
    assert page.count("/revoke") == claims.MAX_ROWS
    assert "And 7 more: gateway claims list." in page
    assert "n and 5 more" in page


async def test_a_code_is_made_and_shown_this_once(visitor: Visitor, desk: Desk, events: list[Event]) -> None:
    typed = {"boards": " 2 ", "expires": "7d", "id": "", "id_prefix": "node-", "model": "nodemcu"}
    answer = await visitor.send("/claims", {**typed, "group": "site", "code": "ABCDEFGHJKLM"})
    assert desk.typed == [{**typed, "boards": "2"}]
    assert answer.status == 200
    assert '<output class="code">ABCD-EFGH-JKLM</output>' in answer.text
    assert "Code 0a1b2c3d for one board, for ever. It is not shown again." in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert Reader(answer.text).value("id_prefix") == ""
    assert events == [PageUsed(address="127.0.0.1", action=PageAction.CODE_MADE, code="0a1b2c3d")]
    assert "ABCD" not in (await visitor.ask("GET", "/claims")).text
    assert "ABCD" not in str(events)


async def test_a_form_may_say_its_origin_to_us(visitor: Visitor) -> None:
    """By no-referrer it would be null, which is anybody's."""
    assert (await visitor.ask("GET", "/claims")).headers["Referrer-Policy"] == "same-origin"


async def test_a_refusal_keeps_what_was_typed(visitor: Visitor, events: list[Event]) -> None:
    typed = {"boards": "7", "expires": "30d", "id": "a b", "id_prefix": "n-", "model": EVIL}
    answer = await visitor.send("/claims", typed)
    assert answer.status == 400
    page = Reader(answer.text)
    assert {name: page.value(name) for name in typed if name != "expires"} | {"expires": "30d"} == typed
    assert page.chosen() == ["30d"]
    assert "is no model" in answer.text
    assert events == []


async def test_nothing_that_is_typed_or_listed_becomes_html(visitor: Visitor, desk: Desk) -> None:
    desk.codes = [listed(whom=EVIL, boards=(EVIL,))]
    typed = dict.fromkeys(claims.FORM, EVIL)
    answer = await visitor.send("/claims", typed)
    page = Reader(answer.text)
    scripts = [attributes.get("src") or "" for tag, attributes in page.tags if tag == "script"]
    assert all(source.startswith("/assets/") for source in scripts)
    assert EVIL not in answer.text
    assert page.value("id") == EVIL
    assert page.chosen() == [EVIL]
    assert answer.text.count("&lt;script&gt;") == 9


async def test_a_code_is_revoked_by_its_button(visitor: Visitor, desk: Desk, events: list[Event]) -> None:
    desk.codes = [listed()]
    answer = await visitor.send("/claims/0a1b2c3d/revoke")
    assert (answer.status, answer.headers["Location"], desk.codes) == (303, "/claims", [])
    assert events == [PageUsed(address="127.0.0.1", action=PageAction.CODE_REVOKED, code="0a1b2c3d")]
    again = await visitor.send("/claims/0a1b2c3d/revoke")
    assert again.status == 404
    assert "there is no code" in again.text


FORM_TYPE = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"x" * 4_097, FORM_TYPE, 413),
        (b"boards=1", "text/plain", 415),
        (b"boards=1", "multipart/form-data; boundary=x", 415),
        (b"&".join([b"a=1"] * 17), FORM_TYPE, 400),
        (b"", FORM_TYPE, 200),
        (b"\xff=\xff&boards=%ff", f"{FORM_TYPE}; charset=nonsense", 200),
    ],
)
async def test_a_form_of_another_size_or_kind_is_refused(
    visitor: Visitor, desk: Desk, body: bytes, kind: str, status: int
) -> None:
    answer = await visitor.send("/claims", body, Content_Type=kind)
    assert answer.status == status
    assert len(desk.typed) == (status == 200)


async def test_a_form_that_does_not_come_is_not_waited_for(
    visitor: Visitor, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BODY_S", 0.0)
    answer = await visitor.send("/claims", b"boards=1", Content_Type=FORM_TYPE, Content_Length="9")
    assert answer.status == 408
    assert desk.typed == []


@pytest.mark.parametrize("name", ["0A1B2C3D", "0a1b2c3", "..%2f..%2fx", "0a1b2c3d%0a", "%3Cscript%3E"])
async def test_what_is_no_name_has_no_page(visitor: Visitor, name: str) -> None:
    assert (await visitor.send(f"/claims/{name}/revoke")).status == 404


async def test_codes_that_cannot_be_read_are_said(visitor: Visitor, desk: Desk) -> None:
    desk.is_closed = True
    answer = await visitor.ask("GET", "/claims")
    assert answer.status == 503
    assert "Check the disk" in answer.text
