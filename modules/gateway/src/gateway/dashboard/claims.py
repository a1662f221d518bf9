"""The page of codes for boards' first contact: what there is, a form for another, a button that revokes."""

import asyncio
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from aiohttp import web

from edgepage.guard import shown
from edgepage.template import Markup, icon, joined, markup, page
from gateway.dashboard.door import CLAIMS
from gateway.dashboard.frame import SHELL
from gateway.observe.events import Event
from gateway.observe.page import PageAction, PageUsed

BODY_S: Final = 10.0
"""For a form to arrive."""
MAX_FIELDS: Final = 16
MAX_ROWS: Final = 500
MAX_BOARDS_SHOWN: Final = 20

FORM: Final[Mapping[str, str]] = {"boards": "1", "expires": "24h", "id": "", "id_prefix": "", "model": ""}
"""Its fields and what stands in them at first."""
_LIVES: Final[Mapping[str, str]] = {
    "30m": "30 minutes",
    "24h": "24 hours",
    "7d": "7 days",
    "30d": "30 days",
    "never": "for ever",
}
_LABELS: Final[Mapping[str, str]] = {
    "boards": "Good for so many boards",
    "id": "For this id alone; renews its key if it has one",
    "id_prefix": "Or for ids that begin so",
    "model": "For boards of this model",
}
_TONES: Final = {"open": Markup(' data-tone="good"')}
_PLACES: Final = {"Name": Markup(' class="headline"'), "State": Markup(' class="aside"')}
"""Of a cell where a row is as narrow as a phone."""
_COLUMNS: Final = ("Name", "Kind", "State", "For", "Good", "Boards", "")
# A form is sent with an Origin only where the page may tell its own site where it comes from (Fetch §3.1, "append a
# request Origin header"): by no-referrer it would be "null".
_SAME_ORIGIN: Final = "same-origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCode:
    """A code as it is listed, in a person's words; without the code."""

    name: str
    kind: str
    state: str
    whom: str
    until: str
    boards: Sequence[str] = ()
    """Those that came by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCode:
    """A code just made: the only time that it is seen."""

    code: str = field(repr=False)
    name: str
    whom: str
    until: str


class NotDoneError(Exception):
    """What was asked for cannot be; the text says why, and what to write instead."""


class Desk(Protocol):
    """Where codes are made and kept. All of it blocks, and may raise PageClosedError."""

    def listed(self) -> Sequence[ListedCode]:
        """All codes, in their order."""

    def make(self, typed: Mapping[str, str]) -> NewCode:
        """A code by what was typed into the fields of FORM. Raises NotDoneError."""

    def revoke(self, name: str) -> None:
        """Nobody can come by this code any more. Raises NotDoneError."""


class ClaimsPages:
    """The pages of codes, on what `desk` has."""

    def __init__(self, desk: Desk, emit: Callable[[Event], None]) -> None:
        self._desk = desk
        self._emit = emit

    def add_to(self, application: web.Application) -> None:
        """Serve them there."""
        application.router.add_get(CLAIMS, self._list)
        application.router.add_post(CLAIMS, self._make)
        application.router.add_post(CLAIMS + "/{name:[0-9a-f]{8}}/revoke", self._revoke)

    async def _list(self, _request: web.Request) -> web.Response:
        return await self._page(Markup(), FORM)

    async def _make(self, request: web.Request) -> web.Response:
        typed = await _form_of(request)
        try:
            made = await asyncio.to_thread(self._desk.make, typed)
        except NotDoneError as error:
            return await self._page(_refusal(error), typed, status=400)
        self._done(request, PageAction.CODE_MADE, made.name)
        return await self._page(_made(made), FORM)

    async def _revoke(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        try:
            await asyncio.to_thread(self._desk.revoke, name)
        except NotDoneError as error:
            return await self._page(_refusal(error), FORM, status=404)
        self._done(request, PageAction.CODE_REVOKED, name)
        return web.Response(status=303, headers={"Location": CLAIMS})

    async def _page(self, said: Markup, typed: Mapping[str, str], status: int = 200) -> web.Response:
        page = await asyncio.to_thread(lambda: _whole(said, typed, self._desk.listed()))
        answer = shown(page, status)
        answer.headers["Referrer-Policy"] = _SAME_ORIGIN
        return answer

    def _done(self, request: web.Request, action: PageAction, code: str) -> None:
        self._emit(PageUsed(address=request.remote or "somebody", action=action, code=code))


async def _form_of(request: web.Request) -> dict[str, str]:
    """What was typed into the form, blanks around it aside. Raises an HTTPException."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    try:
        fields = urllib.parse.parse_qsl(body.decode("ascii", "replace"), max_num_fields=MAX_FIELDS)
    except ValueError:
        raise web.HTTPBadRequest from None
    typed = dict(fields)
    return {name: typed.get(name, "").strip() for name in FORM}


# --- what stands on the page ------------------------------------------------------------------------------------------


def _whole(said: Markup, typed: Mapping[str, str], codes: Sequence[ListedCode]) -> Markup:
    body = markup(
        '<div class="page-head"><div class="grow"><h1>Codes for new boards</h1>\n'
        "<p>A board that knows a code gets its identity here, once.</p></div></div>\n"
        '<div class="stack">\n{said}<section class="card"><header><h2>Another code</h2></header>\n'
        '<div class="inside">{form}</div></section>\n'
        '<section class="card"><header><h2>Codes</h2></header>\n<div class="flush">{table}</div></section>\n</div>\n',
        said=said,
        form=_form(typed),
        table=_table(codes),
    )
    return page(SHELL, "Codes", body, here=CLAIMS)


def _refusal(error: NotDoneError) -> Markup:
    return markup(
        '<div class="banner" data-tone="bad" role="alert">{icon}<div>{error}</div></div>\n',
        icon=icon("bad"),
        error=error,
    )


def _made(made: NewCode) -> Markup:
    return markup(
        '<div class="banner" data-tone="good" role="status">{icon}<div><output class="code">{code}</output>\n'
        "Code {name} for {whom}, {until}. It is not shown again.</div></div>\n",
        icon=icon("good"),
        code=made.code,
        name=made.name,
        whom=made.whom,
        until=made.until,
    )


def _form(typed: Mapping[str, str]) -> Markup:
    # No maxlength: a browser would cut what is pasted, and the code would be for another id.
    lives = _LIVES if typed["expires"] in _LIVES else {**_LIVES, typed["expires"]: typed["expires"]}
    return markup(
        '<form class="form-grid" method="post" action="{action}" autocomplete="off">\n{boards}'
        '<div class="field"><label for="expires">Expires in</label>'
        '<select class="input" id="expires" name="expires">{lives}</select></div>\n{id}{id_prefix}{model}'
        '<div><button class="button primary">Make a code</button></div>\n</form>\n',
        action=CLAIMS,
        lives=joined(
            markup(
                '<option value="{value}"{selected}>{words}</option>',
                value=value,
                words=words,
                selected=Markup(" selected" if value == typed["expires"] else ""),
            )
            for value, words in lives.items()
        ),
        **{name: _field(name, typed[name]) for name in _LABELS},
    )


def _field(name: str, value: str) -> Markup:
    return markup(
        '<div class="field"><label for="{name}">{label}</label>'
        '<input class="input" id="{name}" name="{name}"{mode} value="{value}"></div>\n',
        name=name,
        label=_LABELS[name],
        mode=Markup(' inputmode="numeric"' if name == "boards" else ""),
        value=value,
    )


def _table(codes: Sequence[ListedCode]) -> Markup:
    if not codes:
        return markup(
            '<div class="empty slim">{icon}<h3>There are none</h3>\n'
            "<p>Make one above and type it into the board.</p></div>\n",
            icon=icon("codes"),
        )
    left_out = len(codes) - MAX_ROWS
    more = markup('<p class="pager">And {count} more: gateway claims list.</p>\n', count=left_out)
    return markup(
        '<table class="list" data-phone-columns="2">\n<thead><tr>{heads}</tr></thead>\n'
        "<tbody>\n{rows}</tbody>\n</table>\n{more}",
        heads=joined(markup('<th scope="col">{name}</th>', name=name) for name in _COLUMNS),
        rows=joined(_row(code) for code in codes[:MAX_ROWS]),
        more=more if left_out > 0 else Markup(),
    )


def _row(code: ListedCode) -> Markup:
    came = ", ".join(code.boards[:MAX_BOARDS_SHOWN]) or "none yet"
    if len(code.boards) > MAX_BOARDS_SHOWN:
        came += f" and {len(code.boards) - MAX_BOARDS_SHOWN} more"
    state = markup('<span class="pill"{tone}>{state}</span>', state=code.state, tone=_TONES.get(code.state, Markup()))
    name = markup('<code class="nowrap">{name}</code>', name=code.name)
    cells = (name, code.kind, state, code.whom, code.until, came)
    return markup(
        '<tr>{cells}<td class="bare">{button}</td></tr>\n',
        cells=joined(
            markup('<td data-name="{name}"{place}>{cell}</td>', name=name, place=_PLACES.get(name, Markup()), cell=cell)
            for name, cell in zip(_COLUMNS, cells, strict=False)
        ),
        button=markup(
            '<form method="post" action="{action}"><button class="button small danger">Revoke</button></form>',
            action=f"{CLAIMS}/{code.name}/revoke",
        ),
    )
