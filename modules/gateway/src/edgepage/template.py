"""HTML of the page: one function puts values into text, and escapes them all."""

import base64
import hashlib
import html
from collections.abc import Iterable
from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--line:#d5d9de;--soft:#5b6570;--deed:#0b57d0;--bad:#b3261e;--back:#fff;--card:#f5f6f8;
--text:#1a1c1e}
@media (prefers-color-scheme:dark){:root{--line:#3a4047;--soft:#a3adb8;--deed:#a8c7fa;--bad:#f2b8b5;--back:#16181b;
--card:#202327;--text:#e4e6e9}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:64rem;background:var(--back);color:var(--text);
font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2rem}
a{color:var(--deed)}
form.new{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:.75rem;align-items:end}
label{display:block;color:var(--soft);font-size:.875rem}
input,select,button{width:100%;min-height:2.75rem;padding:.4rem .6rem;border:1px solid var(--line);border-radius:.4rem;
background:var(--back);color:var(--text);font:inherit}
button{border-color:var(--deed);color:var(--deed);cursor:pointer}
.told,.bad{padding:.75rem 1rem;border-left:.25rem solid var(--deed);background:var(--card)}
.bad{border-color:var(--bad);color:var(--bad);overflow-wrap:anywhere}
.code{display:block;font:600 2rem/1.4 ui-monospace,monospace;letter-spacing:.05em;user-select:all;
overflow-wrap:anywhere}
.soft{color:var(--soft)}
table{width:100%;border-collapse:collapse}
th,td{padding:.5rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{color:var(--soft);font-weight:500;font-size:.875rem}
td form{margin:0}
@media (max-width:48rem){thead{display:none}tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--line)}
td{display:grid;grid-template-columns:6rem 1fr;padding:.15rem 0;border:0}
td::before{content:attr(data-name);color:var(--soft)}}
"""
STYLE_HASH: Final = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode("ascii")
"""By which the browser knows that the style is ours (CSP 3 §2.3.1): no other one is obeyed."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def markup(text: str, /, **values: object) -> Markup:
    """`text` with each `{name}` replaced by its value, escaped unless it is Markup."""
    return Markup(text.format_map({name: _escaped(value) for name, value in values.items()}))


def joined(parts: Iterable[Markup]) -> Markup:
    """One after the other."""
    return Markup("".join(parts))


def document(title: str, body: Markup) -> Markup:
    """A whole page."""
    return markup(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n",
        title=title,
        style=Markup(STYLE),
        body=body,
    )


def _escaped(value: object) -> str:
    return value if isinstance(value, Markup) else html.escape(str(value))
