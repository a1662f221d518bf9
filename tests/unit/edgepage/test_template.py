import base64
import hashlib
import re

from edgepage.template import STYLE_HASH, Markup, document, joined, markup


def test_every_value_is_escaped_unless_it_is_markup() -> None:
    assert markup("<b>{text}</b>", text="<i>\"&'") == "<b>&lt;i&gt;&quot;&amp;&#x27;</b>"
    assert markup("{text}", text=Markup("<i>")) == "<i>"
    assert markup("{number}", number=3) == "3"
    assert markup("{text}", text="{other}") == "{other}"


def test_what_is_joined_is_markup() -> None:
    parts = joined(markup("<li>{each}</li>", each=each) for each in ("<", "b"))
    assert markup("<ul>{parts}</ul>", parts=parts) == "<ul><li>&lt;</li><li>b</li></ul>"


def test_a_page_needs_nothing_from_elsewhere_and_its_style_is_known_by_its_hash() -> None:
    page = document("A <title>", Markup("<p>text</p>\n"))
    assert "<title>A &lt;title&gt;</title>" in page
    assert not re.search(r"<script|<link|<img|@import|url\(|https?:", page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() == STYLE_HASH.removeprefix("sha256-")
    assert "prefers-color-scheme:dark" in style
    assert 'name="viewport"' in page
