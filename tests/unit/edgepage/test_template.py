import re

from edgepage.template import Markup, Shell, View, document, joined, markup, page

SHELL = Shell(
    name="House & Sons",
    views=(View(path="/#/", name="Overview", icon="overview"), View(path="/codes", name="<Codes>", icon="codes")),
    styles=("/assets/own/own.css",),
)


def test_every_value_is_escaped_unless_it_is_markup() -> None:
    assert markup("<b>{text}</b>", text="<i>\"&'") == "<b>&lt;i&gt;&quot;&amp;&#x27;</b>"
    assert markup("{text}", text=Markup("<i>")) == "<i>"
    assert markup("{number}", number=3) == "3"
    assert markup("{text}", text="{other}") == "{other}"


def test_what_is_joined_is_markup() -> None:
    parts = joined(markup("<li>{each}</li>", each=each) for each in ("<", "b"))
    assert markup("<ul>{parts}</ul>", parts=parts) == "<ul><li>&lt;</li><li>b</li></ul>"


def test_a_page_needs_nothing_from_elsewhere_and_nothing_inline() -> None:
    for text in (
        document("A <title>", Markup("<p>text</p>\n")),
        page(SHELL, "A <title>", Markup("<p>text</p>\n"), here="/codes"),
    ):
        assert "<title>A &lt;title&gt;" in text
        assert not re.search(r"<style|style=|\son\w+=|@import|url\(|https?:", text)
        links = re.findall(r'(?:src|href)="([^"]*)"', text)
        assert links
        assert all(link.startswith(("/", "#")) for link in links)
        assert re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL) == [""] * text.count("<script")
        assert 'name="viewport"' in text


def test_a_page_in_the_frame_has_the_navigation_without_any_script() -> None:
    text = page(SHELL, "Codes", Markup("<p>text</p>\n"), here="/codes")
    assert "<title>Codes · House &amp; Sons</title>" in text
    assert re.search(r'<a href="/codes" aria-current="page">.*<span>&lt;Codes&gt;</span></a>', text)
    assert re.search(r'<a href="/#/"><svg', text)
    assert '<main id="main" tabindex="-1">\n<p>text</p>' in text
    assert '<link rel="stylesheet" href="/assets/own/own.css">' in text
    assert "/assets/parts/server-page.js" in text


def test_a_page_may_start_a_script_of_its_own() -> None:
    text = page(SHELL, "Overview", Markup(), here="/#/", script="/assets/own/own.js")
    assert "/assets/own/own.js" in text
    assert "server-page.js" not in text
