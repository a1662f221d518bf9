"""The settings in force: checked whole before use, the last good ones kept across bad updates and restarts (D5).

Order of a change: check all of it, put it in force, keep it in `settings.json`. A crash in between leaves an older good
document there, and the twin brings the newer one again.

Without any settings everything goes to `$upstream` (`DEFAULT_DOCUMENT`): nothing is lost until an operator says what is
not worth sending. edgeHub's own local default is the same.

`settings.json` holds `{"format": 1, "source", "version", "document"}`, written whole beside and renamed, mode 0600.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import orjson

from gateway.app.document import GatewaySettings, Reading, SettingsProblem, read_settings
from gateway.observe.configuration import (
    LastGoodNotSaved,
    LastGoodUnreadable,
    SettingsApplied,
    SettingsRefused,
    SettingsSource,
)
from gateway.observe.events import Event
from gateway.routing.table import Table

Document = Mapping[str, Any]
"""A settings document: design §4."""

DEFAULT_DOCUMENT: Final[Document] = MappingProxyType(
    {"schemaVersion": "1.0", "routes": {"everything": "FROM /messages/* INTO $upstream"}}
)
"""In force while nobody has set anything."""
FORMAT: Final = 1
_FILE_MODE: Final = 0o600

Read = Callable[[Document], Reading]
Apply = Callable[[GatewaySettings, Table], None]


class NotApplicableError(Exception):
    """A good document that cannot be put in force here; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the last document that was offered."""

    source: SettingsSource
    version: int | None
    errors: tuple[SettingsProblem, ...]
    warnings: tuple[SettingsProblem, ...]
    routes: tuple[str, ...]
    """The names of all routes of the document, good or not."""

    @property
    def good(self) -> bool:
        """Whether it is in force."""
        return not self.errors


class Configuration:
    """Holds the settings in force and lets only whole, good documents replace them.

    `read` checks a document and runs in a thread, for routes may be many; `apply` puts settings in force on the event
    loop, and may raise NotApplicableError before it has changed anything.
    """

    def __init__(
        self,
        *,
        path: Path,
        apply: Apply,
        emit: Callable[[Event], None],
        read: Read = read_settings,
    ) -> None:
        self._path = path
        self._read = read
        self._apply = apply
        self._emit = emit
        self._one_at_a_time = asyncio.Lock()
        self._document: Document | None = None
        self._saved: tuple[Document, int | None] | None = None
        self.good_version: int | None = None
        """The version of the twin that is in force; None if it is not from a twin."""
        self.good_source = SettingsSource.DEFAULT
        self.verdict: Verdict | None = None
        """Of the last document offered; None before the first."""

    @property
    def document(self) -> Document:
        """The document that is in force."""
        return self._document or DEFAULT_DOCUMENT

    async def start(self) -> None:
        """Put the last good settings in force, or the default."""
        async with self._one_at_a_time:
            kept = await asyncio.to_thread(_load, self._path)
            unusable = kept if isinstance(kept, str) else ""
            if isinstance(kept, _Kept):
                verdict = await self._try(kept.document, kept.version, SettingsSource.LAST_GOOD)
                if verdict.good:
                    self._saved = (kept.document, kept.version)
                    return
                unusable = sentence(verdict.errors[0])
            if unusable:
                self._emit(LastGoodUnreadable(str(self._path), unusable))
            verdict = await self._try(DEFAULT_DOCUMENT, None, SettingsSource.DEFAULT)
            if not verdict.good:
                raise AssertionError(f"the default settings do not work: {sentence(verdict.errors[0])}")

    async def offer(self, document: Document, version: int | None, source: SettingsSource) -> Verdict:
        """Put `document` in force if all of it is good, and keep it; if not, what is in force stays."""
        async with self._one_at_a_time:
            unusable = _not_plain_json(document)
            if unusable is not None:
                verdict = Verdict(source=source, version=version, errors=(unusable,), warnings=(), routes=())
            elif document == self._document:
                verdict = await self._same(document, version, source)
            else:
                verdict = await self._try(document, version, source)
            self._conclude(verdict)
            if verdict.good:
                await self._keep(document, version, source)
            return verdict

    def refuse(self, problem: SettingsProblem, version: int | None, source: SettingsSource) -> None:
        """What came is no document at all, as `problem` says; what is in force stays."""
        self._conclude(Verdict(source=source, version=version, errors=(problem,), warnings=(), routes=()))

    def _conclude(self, verdict: Verdict) -> None:
        self.verdict = verdict
        if not verdict.good:
            problems = tuple(map(sentence, verdict.errors))
            self._emit(SettingsRefused(verdict.source, verdict.version, problems))

    async def _same(self, document: Document, version: int | None, source: SettingsSource) -> Verdict:
        """What is in force was offered again, as after a reconnect: nothing changes but its version."""
        reading = await asyncio.to_thread(self._read, dict(document))
        self.good_version, self.good_source = version, source
        return _verdict(document, reading, version, source)

    async def _try(self, document: Document, version: int | None, source: SettingsSource) -> Verdict:
        reading = await asyncio.to_thread(self._read, dict(document))
        verdict = _verdict(document, reading, version, source)
        if reading.settings is None or reading.table is None:
            return verdict
        try:
            self._apply(reading.settings, reading.table)
        except NotApplicableError as error:
            return replace(verdict, errors=(SettingsProblem(path="", message=str(error)),))
        self._document = document
        self.good_version, self.good_source = version, source
        self._emit(SettingsApplied(source, version, len(reading.settings.routes), len(reading.warnings)))
        return verdict

    async def _keep(self, document: Document, version: int | None, source: SettingsSource) -> None:
        if self._saved == (document, version):
            return  # a reconnect brings the same again; flash wears out
        error = await asyncio.to_thread(_save, self._path, document, version, source)
        if error is None:
            self._saved = (document, version)
        else:
            self._emit(LastGoodNotSaved(str(self._path), error.strerror or str(error)))


@dataclass(frozen=True, slots=True)
class _Kept:
    """What `settings.json` holds."""

    document: Document
    version: int | None


def _load(path: Path) -> _Kept | str | None:
    """What was kept, None if nothing was, or a text that says why it is of no use."""
    try:
        kept = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        return str(error)
    match kept:
        case {"format": 1, "document": dict(document), "version": int() | None as version}:
            return _Kept(document, version)
        case _:
            return "this version of the gateway did not write it"


def _save(path: Path, document: Document, version: int | None, source: SettingsSource) -> OSError | None:
    """Write beside and rename, so that a crash leaves the old file or the new one. Gives the error, if any."""
    text = orjson.dumps(
        {"format": FORMAT, "source": source.value, "version": version, "document": dict(document)},
        option=orjson.OPT_INDENT_2,
    )
    beside = path.with_name(f"{path.name}.new")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        return error
    return None


def sentence(problem: SettingsProblem) -> str:
    """A problem on one line."""
    place = problem.path or "settings"
    if problem.route is not None:
        place = f"route '{problem.route.route}', {problem.route.place()}"
    return f"{place}: {problem.message}" + (f"; {problem.fix}" if problem.fix else "")


def _not_plain_json(document: Document) -> SettingsProblem | None:
    """What the JSON of a careless program may hold and ours cannot: half characters, endless numbers."""
    try:
        orjson.dumps(dict(document))
    except TypeError as error:
        return SettingsProblem(path="", message=f"it is not JSON that can be kept: {error}")
    return None


def _verdict(document: Document, reading: Reading, version: int | None, source: SettingsSource) -> Verdict:
    routes = document.get("routes")
    return Verdict(
        source=source,
        version=version,
        errors=reading.problems,
        warnings=reading.warnings,
        routes=tuple(routes) if isinstance(routes, Mapping) else (),
    )


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
