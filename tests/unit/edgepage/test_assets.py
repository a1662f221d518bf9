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


def exported(path: Path) -> set[str]:
    text = path.read_text(encoding="utf-8")
    found = set(re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", text, re.MULTILINE))
    for other in re.findall(r'^export \* from "\./([^"]+)"', text, re.MULTILINE):
        found |= exported(path.parent / other)
    return found


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".js"], ids=lambda path: path.name)
def test_each_name_that_is_imported_is_there_and_is_used(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for names, source in re.findall(r'^import \{([^}]+)\} from "([^"]+)"', text, re.MULTILINE):
        file = PARTS_FOLDER / source.rpartition("/")[2] if source.startswith("/assets/parts/") else path.parent / source
        wanted = {name.partition(" as ")[0].strip() for name in names.split(",")}
        assert wanted <= exported(file)
        code = re.sub(r'"[^"\n]*"|//.*', "", text)
        assert [name for name in sorted(wanted) if len(re.findall(rf"\b{name}\b", code)) < 2] == []


def test_what_the_template_names_exists() -> None:
    for name in (ICONS, SHELL, STYLE, THEME):
        assert (PARTS_FOLDER / name.rpartition("/")[2]).is_file()


@each_file
def test_every_icon_that_is_named_is_drawn(path: Path) -> None:
    drawn = set(re.findall(r'<symbol id="([a-z]+)"', (PARTS_FOLDER / "icons.svg").read_text(encoding="utf-8")))
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r'\bicon(?::|\() ?"([a-z]+)"', text)) <= drawn


# --- contrast (WCAG 2.2 §1.4.3, §1.4.11) ------------------------------------------------------------------------------

TOKEN = re.compile(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
TOKENS = {
    name: (light, dark) for name, light, dark in TOKEN.findall((PARTS_FOLDER / "parts.css").read_text(encoding="utf-8"))
}
GROUNDS = ("ground", "surface", "raised", "sunken", "hover")
TEXTS = [
    *((text, ground) for text in ("text", "soft", "deed", "good", "warn", "bad") for ground in GROUNDS),
    *((tone, f"{tone}-wash") for tone in ("deed", "good", "warn", "bad")),
    *(("text", f"{tone}-wash") for tone in ("deed", "good", "warn", "bad")),
    *(("on-deed", ground) for ground in ("deed-fill", "deed-fill-hover")),
]
EDGES = [("line-strong", "surface"), ("deed-fill", "surface"), ("deed-fill", "ground"), ("bad-fill", "surface")]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_measured_as_the_rule_says() -> None:
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXTS)
def test_every_text_can_be_read_on_every_ground(text: str, ground: str, theme: int) -> None:
    assert contrast(TOKENS[text][theme], TOKENS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("edge", "ground"), EDGES)
def test_edges_of_fields_and_the_focus_are_seen(edge: str, ground: str, theme: int) -> None:
    assert contrast(TOKENS[edge][theme], TOKENS[ground][theme]) >= 3
