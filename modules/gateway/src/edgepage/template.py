"""HTML of pages: one function puts values into text, and escapes them all; the frame that all pages stand in."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edgepage.assets import PARTS

STYLE: Final = PARTS + "parts.css"
ICONS: Final = PARTS + "icons.svg"
THEME: Final = PARTS + "theme.js"
"""Loaded before anything is drawn, so that no page flashes white at night."""
SHELL: Final = PARTS + "server-page.js"
"""What a page that was made by the server has of the frame: the switch of the theme, copying, times that go on."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A line of the navigation."""

    path: str
    """Where it leads: "/#/devices" for a view of a script, "/claims" for a page that the server makes."""
    name: str
    icon: str
    """Of icons.svg."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """The frame of one server's pages: its name and navigation, and what its pages load besides the parts."""

    name: str
    views: Sequence[View]
    styles: Sequence[str] = ()
    script: str = SHELL
    """The module that a page starts."""


def markup(text: str, /, **values: object) -> Markup:
    """`text` with each `{name}` replaced by its value, escaped unless it is Markup."""
    return Markup(text.format_map({name: _escaped(value) for name, value in values.items()}))


def joined(parts: Iterable[Markup]) -> Markup:
    """One after the other."""
    return Markup("".join(parts))


def document(title: str, body: Markup) -> Markup:
    """A page of its own, without navigation: what is told to somebody who is not inside."""
    return _whole(title, markup('<main class="told-page">\n{body}</main>\n', body=body), (STYLE,), ())


def page(shell: Shell, title: str, body: Markup, *, here: str, script: str = "") -> Markup:
    """A page in the frame; `here` is the path of the view that it is. `script` replaces the shell's."""
    inside = markup(
        '<a class="skip" href="#main">Skip to the content</a>\n<div class="shell">\n{side}'
        '<div class="content">\n<div id="notice" aria-live="assertive"></div>\n'
        '<main id="main" tabindex="-1">\n{body}</main>\n</div>\n</div>\n',
        side=_side(shell, here),
        body=body,
    )
    return _whole(f"{title} · {shell.name}", inside, (STYLE, *shell.styles), (script or shell.script,))


def icon(name: str) -> Markup:
    """A picture beside a word; it says nothing on its own."""
    return markup(
        '<svg class="icon" aria-hidden="true" focusable="false"><use href="{icons}#{name}"/></svg>',
        icons=ICONS,
        name=name,
    )


def _side(shell: Shell, here: str) -> Markup:
    return markup(
        '<div class="side">\n<header class="top">\n<a class="brand" href="/">{mark}<span>'
        '<span class="brand-name">{name}</span><span class="brand-where" id="where"></span></span></a>\n'
        '<div class="tools" id="tools"></div>\n</header>\n<nav class="nav" aria-label="Views">\n{views}</nav>\n'
        '<footer class="foot" id="foot"></footer>\n</div>\n',
        mark=icon("mark"),
        name=shell.name,
        views=joined(_line(view, here) for view in shell.views),
    )


def _line(view: View, here: str) -> Markup:
    return markup(
        '<a href="{path}"{current}>{icon}<span>{name}</span></a>\n',
        path=view.path,
        current=Markup(' aria-current="page"' if view.path == here else ""),
        icon=icon(view.icon),
        name=view.name,
    )


def _whole(title: str, body: Markup, styles: Sequence[str], scripts: Sequence[str]) -> Markup:
    return markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">\n'
        '<meta name="color-scheme" content="light dark">\n<title>{title}</title>\n'
        '<link rel="icon" href="{mark}" type="image/svg+xml">\n<script src="{theme}"></script>\n{styles}{scripts}'
        "</head>\n<body>\n{body}</body>\n</html>\n",
        title=title,
        mark=PARTS + "mark.svg",
        theme=THEME,
        styles=joined(markup('<link rel="stylesheet" href="{path}">\n', path=path) for path in styles),
        scripts=joined(markup('<script type="module" src="{path}"></script>\n', path=path) for path in scripts),
        body=body,
    )


def _escaped(value: object) -> str:
    return value if isinstance(value, Markup) else html.escape(str(value))
