"""Pages of docs/recipes, followed as a reader would: files written, commands typed, and what is said compared.

What of a page counts stands on docs/recipes/README.md, for its readers too; nothing else is done for them here.
"""

import asyncio
import itertools
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from edgewire.iothub import sas
from support.console import is_as_shown, steps, wanted_exit
from support.gateway_process import GATEWAY, clean_environment
from support.gateway_site import KEY, GatewaySite, until

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs/recipes"
DEVICE: Final = "boiler"
NODE_MODULES: Final = ROOT / "tests/peers/node/node_modules"
"""What the pages have their readers install, as the lock file has it."""
PATIENCE_S: Final = 60.0
GOODBYE_S: Final = 10.0
LOG_CHARS: Final = 4_000
MARK: Final = "-- that was"
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})

_FENCE: Final = re.compile(r"^```(.*)$")
_NAMED: Final = re.compile(r"`([\w-]+(?:\.[\w-]+)+)`[^`]*:$")
_GOES_ON: Final = re.compile(r">(>?) (\S+) 2>&1 &$")
"""A command that goes on behind the next one, and where it says what it does."""
_PLACEHOLDER_ROW: Final = re.compile(r"^\| `([a-z.]+)` \|", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """A file that the reader writes."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Typed:
    """A command that the reader types, and what is shown below it."""

    command: str
    shown: str
    exit_code: int


Step = File | Typed


def read_steps(page: str) -> dict[str, list[Step]]:
    """What a page has its reader do, by heading. Raises ValueError for a block of which that is not clear."""
    found: dict[str, list[Step]] = {}
    heading, before, info = "", "", ""
    block: list[str] | None = None
    for line in page.splitlines():
        fence = _FENCE.match(line)
        if block is not None and fence is None:
            block.append(line)
        elif block is not None:
            if todo := _steps_of(info, before, "".join(f"{each}\n" for each in block)):
                found.setdefault(heading, []).extend(todo)
            block, before = None, ""
        elif fence is not None:
            info, block = fence[1], []
        elif line.startswith("## "):
            heading, before = line.removeprefix("## "), ""
        elif line:
            before = line
    return found


def _steps_of(info: str, before: str, text: str) -> list[Step]:
    language = info.partition(" ")[0]
    named = _NAMED.search(before)
    if language == "console":
        return [Typed(command, shown, wanted_exit(info)) for command, shown in steps(text)]
    if named is not None:
        return [File(named[1], text)]
    if language in ("sh", "text"):  # to install something, or to look at
        return []
    raise ValueError(f"the line before must end with a file's name and a colon: {before!r}, {info!r}")


def placeholders_of(page: str) -> set[str]:
    """The words that the table of docs/recipes/README.md has readers replace."""
    return set(_PLACEHOLDER_ROW.findall(page))


class Shell:
    """The reader's shell, with all that was started in it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def open(cls, folder: Path, environment: Mapping[str, str]) -> AsyncIterator[Self]:
        """A shell in this folder; what it has started ends with it."""
        process = await asyncio.create_subprocess_exec(
            "bash",
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield cls(process)
        finally:
            await _end(process)

    async def type(self, command: str) -> tuple[int, str]:
        """Exit code and output of a command; one that is to go on behind it ends with `&`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\nprintf '\\n{MARK} %s\\n' $?\n".encode())
        said: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                async for line in self._process.stdout:
                    text = line.decode(errors="replace")
                    if text.startswith(MARK):
                        return int(text.removeprefix(MARK)), "".join(said).removesuffix("\n")
                    said.append(text)
        except TimeoutError:
            raise AssertionError(f"{command}\ndid not end within {PATIENCE_S} s:\n{''.join(said)}") from None
        raise AssertionError(f"{command}\nended the shell:\n{''.join(said)}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the shell and its children: they are one group, of its number."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                assert process.stdout is not None
                await process.stdout.read()  # ends when the last of them has closed it
                await process.wait()


class Recipe:
    """A page, as far as it was followed."""

    def __init__(self, page: str, folder: Path, shell: Shell, words: Mapping[str, str], ready: str) -> None:
        self._left = read_steps((FOLDER / page).read_text(encoding="utf-8"))
        self._words, self._ready = words, ready
        self.address, self.broker = words["gateway.local"], words["broker.local"]
        self.folder = folder
        self.shell = shell

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        page: str,
        site: GatewaySite,
        *,
        broker: str = "",
        ready: str = "",
        more: Mapping[str, str] = _NOTHING,
    ) -> AsyncIterator[Self]:
        """The page's reader has a gateway, the root's file and the device's key; `broker` is the address beside it.

        `ready` is what a program says when it has started, where the page has programs that go on; `more` is what the
        reader has set besides.
        """
        words = {"gateway.local": site.address, "hub.example": site.hub.hub_name, "broker.local": broker}
        assert placeholders_of((FOLDER / "README.md").read_text(encoding="utf-8")) == set(words)
        with tempfile.TemporaryDirectory(prefix="recipe-") as name:
            folder = Path(name)
            _furnish(folder, site.root_file)
            async with Shell.open(folder, {**_environment(site, folder), **more}) as shell:
                recipe = cls(page, folder, shell, words, ready)
                try:
                    yield recipe
                except Exception as error:
                    error.add_note(recipe.logs())
                    raise

    async def follow(self, heading: str) -> None:
        """Do what the page says under its next heading, which must be this one."""
        assert heading == next(iter(self._left)), f"before it comes {next(iter(self._left))}"
        for step in self._left.pop(heading):
            if isinstance(step, File):
                self._write(step)
            else:
                await self._follow(step)

    def written(self, name: str) -> str:
        """Write a file of the page without following it so far. Returns its text."""
        everything = itertools.chain.from_iterable(self._left.values())
        (file,) = [step for step in everything if isinstance(step, File) and step.name == name]
        return self._write(file)

    def _write(self, file: File) -> str:
        text = self._here(file.text)
        (self.folder / file.name).write_text(text)
        return text

    @property
    def left(self) -> list[str]:
        """The headings with something to do that was not done."""
        return list(self._left)

    async def _follow(self, step: Typed) -> None:
        code, said = await self.type(self._here(step.command))
        assert code == step.exit_code, f"{step.command}\n{said}"
        assert is_as_shown(said, self._here(step.shown)), f"{step.command}\n{said}"

    async def type(self, command: str) -> tuple[int, str]:
        """Exit code and output of a command. One that goes on has started when this returns."""
        goes_on = _GOES_ON.search(command)
        log = "" if goes_on is None else goes_on[2]
        seen = len(self.text_of(log)) if goes_on is not None and goes_on[1] else 0
        if goes_on is not None and not goes_on[1]:
            # The shell empties it behind our back: what an earlier program has said is not this one's word.
            (self.folder / log).unlink(missing_ok=True)
        answer = await self.shell.type(command)
        if goes_on is not None:
            await until(lambda: self._ready in self.text_of(log)[seen:], PATIENCE_S)
        return answer

    def _here(self, text: str) -> str:
        for word, meant in self._words.items():
            text = text.replace(word, meant)
        return text

    def logs(self) -> str:
        """The ends of what its programs have said."""
        return "\n".join(f"{path.name}: {self.text_of(path.name)[-LOG_CHARS:]}" for path in self.folder.glob("*.log"))

    def text_of(self, name: str) -> str:
        """What is in a file by now, such as a log."""
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""


def _furnish(folder: Path, root_file: Path) -> None:
    """Put what the reader has before the page begins into the folder in which it is followed."""
    folder.chmod(0o777)  # mosquitto, started by root, becomes a user of its own
    shutil.copy(root_file, folder / "root.pem")
    (folder / "node_modules").symlink_to(NODE_MODULES)


def _environment(site: GatewaySite, folder: Path) -> dict[str, str]:
    """What the page's reader has set, and nothing of this machine's that its programs would read."""
    environment = clean_environment({"GATEWAY_DATA_DIR": str(site.data), "HOME": str(folder)})
    environment["PATH"] = f"{GATEWAY.parent}:{NODE_MODULES}/.bin:{environment['PATH']}"
    environment["BOILER_KEY"] = sas.encode_key(KEY)
    return environment
