"""The pages of docs/recipes: each is followed by a test, and it is clear what of it is to be done."""

import re
from pathlib import Path

import pytest

from project_sources import ROOT
from support.console import is_as_shown
from support.recipe import FOLDER, File, Typed, placeholders_of, read_steps

PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "README.md")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.name))


@each_page
def test_each_page_is_followed_by_a_test(page: Path) -> None:
    name = page.stem.replace("-", "_")
    test = ROOT / f"tests/peers/test_recipe_{name}.py"
    assert f'"{name.replace("_", "-")}.md"' in test.read_text(encoding="utf-8")


@each_page
def test_a_page_has_commands_and_is_in_the_list(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert any(isinstance(step, Typed) for steps in read_steps(text).values() for step in steps)
    assert f"]({page.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


@each_page
def test_hosts_are_those_that_the_table_has_readers_replace(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\b[a-z]+\.(?:local|example)\b", text))
    assert named <= placeholders_of((FOLDER / "README.md").read_text(encoding="utf-8"))


def test_what_is_to_be_done_is_read_by_heading() -> None:
    page = """# A page

```text
a picture
```

## First

`a.conf`, with a word about it:

```text
one
```

```sh
install something
```

## Second

```console exit=1
$ run a.conf
it … not
$ end &
```
"""
    assert read_steps(page) == {
        "First": [File("a.conf", "one\n")],
        "Second": [Typed("run a.conf", "it … not\n", 1), Typed("end &", "", 1)],
    }


def test_a_block_of_which_nobody_says_what_it_is_is_refused() -> None:
    with pytest.raises(ValueError, match="a file's name"):
        read_steps("## First\n\nWrite this:\n\n```json\n{}\n```\n")


@pytest.mark.parametrize(("said", "shown"), [("a  b\n", "a b"), ("", ""), ("a 1 b\nc\n", "a … b\nc")])
def test_output_may_be_as_it_is_shown(said: str, shown: str) -> None:
    assert is_as_shown(said, shown)


@pytest.mark.parametrize(("said", "shown"), [("a\nb\n", "a…"), ("a", ""), ("", "a")])
def test_output_that_is_not_as_shown_is_noticed(said: str, shown: str) -> None:
    assert not is_as_shown(said, shown)
