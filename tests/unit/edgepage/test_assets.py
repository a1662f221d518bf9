import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from edgepage import assets
from edgepage.assets import PARTS_FOLDER, add_assets
from edgepage.template import ICONS, SHELL, STYLE, THEME
from support.page_visit import Visitor

FOLDERS = (PARTS_FOLDER, Path(assets.__file__).parents[1] / "gateway/dashboard/assets")
FILES = [path for folder in FOLDERS for path in sorted(folder.iterdir())]
each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


class Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add_to(self, application: web.Application) -> None:
        add_assets(application, self._folder, "/assets/own/")


@pytest.fixture
async def visitor(tmp_path: Path) -> AsyncIterator[Visitor]:
    folder = tmp_path / "assets"
    folder.mkdir()
    (folder / "own.js").write_text("export const text = 'ä';\n")
    (folder / "own.svg").write_text("<svg/>")
    (folder / "notes.txt").write_text("of nobody's business")
    (tmp_path / "secret.js").write_text("outside")
    async with Visitor.at((Folder(folder),)) as visitor:
        yield visitor


async def test_a_file_is_given_with_its_type(visitor: Visitor) -> None:
    answer = await visitor.ask("GET", "/assets/own/own.js")
    assert (answer.status, answer.text) == (200, "export const text = 'ä';\n")
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert (await visitor.ask("GET", "/assets/own/own.svg")).headers["Content-Type"] == "image/svg+xml; charset=utf-8"


async def test_a_file_that_the_browser_has_is_not_sent_again(visitor: Visitor) -> None:
    tag = (await visitor.ask("GET", "/assets/own/own.js")).headers["ETag"]
    again = await visitor.ask("GET", "/assets/own/own.js", If_None_Match=tag)
    assert (again.status, again.text, again.headers["ETag"]) == (304, "", tag)
    assert (await visitor.ask("GET", "/assets/own/own.svg", If_None_Match=tag)).status == 200


@pytest.mark.parametrize(
    "path", ["notes.txt", "../secret.js", "%2e%2e/secret.js", "..%2fsecret.js", "", "own.js/", "OWN.JS"]
)
async def test_nothing_else_of_the_disk_is_given(visitor: Visitor, path: str) -> None:
    assert (await visitor.ask("GET", f"/assets/own/{path}")).status == 404


@each_file
def test_files_stay_small_and_of_known_types(path: Path) -> None:
    assert path.suffix in assets._TYPES
    assert path.read_text(encoding="utf-8").count("\n") <= 600


@each_file
def test_nothing_is_loaded_from_elsewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|@import|[\"'(]//", text)
    assert path.suffix != ".css" or "url(" not in text


@each_file
def test_no_text_can_become_markup_or_program(path: Path) -> None:
    """What devices send is shown on these pages: there is no way in but text."""
    text = path.read_text(encoding="utf-8")
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML|srcdoc"
    assert not re.search(rf"{ways}|\beval\b|new Function|javascript:|setTimeout\([\"'`]", text)


@each_file
def test_what_is_imported_exists(path: Path) -> None:
    for source in re.findall(r'from "([^"]+)"', path.read_text(encoding="utf-8")):
        file = PARTS_FOLDER / source.rpartition("/")[2] if source.startswith("/assets/parts/") else path.parent / source
        assert file.is_file(), source


def test_what_the_template_names_exists() -> None:
    for name in (ICONS, SHELL, STYLE, THEME):
        assert (PARTS_FOLDER / name.rpartition("/")[2]).is_file()


@each_file
def test_every_icon_that_is_named_is_drawn(path: Path) -> None:
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', (PARTS_FOLDER / "icons.svg").read_text(encoding="utf-8")))
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r'\bicon(?::|\() ?"([a-z]+)"', text)) <= drawn
