"""All secrets that the gateway could know here, and texts without them.

Two nets: every secret that is found in the data folder, the environment and the folder of secrets is looked for in each
text, as it is and in the forms that it may take in a log (base64, hex, percent-encoded, JSON); and what has the form of
a secret goes, whoever knows it.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote, urlsplit

from edgewire.iothub.bootstrap import plain_code, secret_of_code
from gateway.app.settings import SETTINGS, Kind
from gateway.doctor.places import connection_fields

MIN_SECRET_CHARS: Final = 4
"""A shorter word is hidden by its place alone: a text without "a" would say nothing."""
MAX_SECRET_FILE_BYTES: Final = 1 << 20
"""Of one file of which the secrets are to be known; larger ones are no files of secrets."""
MAX_SECRETS: Final = 50_000
"""Each in some fifteen forms, 70 MB in all; the rest goes by its place alone."""
HIDDEN: Final = "(hidden)"

SECRET_FILES: Final = ("devices.json", "users.json", "tokens.json", "claims.json", "publishers.json")
_SECRET_WORDS: Final = re.compile(
    r"(?:.*(?:key|secret|password|token|credential)|keys|tokens|passwd|pass|pw|passphrase|sas|sig|signature|psk)",
    re.IGNORECASE,
)
"""A word in the name of a secret; a name's words are parted by capitals, dashes and the like."""
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")

_CODE: Final = re.compile(r"(?<![0-9A-Za-z-])[0-9A-Za-z]+(?:-[0-9A-Za-z]+)*(?![0-9A-Za-z-])")
"""What may be a code, as it is shown or typed; its hash tells."""

_ROUTE: Final = re.compile(r"\s*(?:FROM|SELECT)\s", re.IGNORECASE)
"""No secret, whatever the route's name."""

_PATTERNS: Final = (
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(Shared\s*Access\s*Key\s*=\s*)[^;\s\"',}]+()", re.IGNORECASE),
    re.compile(r"(SharedAccessSignature(?:=|%20|\+|\s)+)[^;\s\"',}]+()", re.IGNORECASE),
    re.compile(r"(\bsig=)[^&;\s\"',}]+()", re.IGNORECASE),
    re.compile(r"(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}()", re.IGNORECASE),
    re.compile(r"([?&](?:token|code|sig|key)=)[^&\s\"',}]+()", re.IGNORECASE),
    re.compile(r"([a-z][a-z0-9+.-]*://)[^/\s:@\"']+:[^/\s@\"']+(@)", re.IGNORECASE),
    re.compile(r"(\bscrypt\$)[^\s\"',}]+()"),
)
"""Between the two groups stands what is hidden, whoever knows it."""


class Secrets:
    """Known secrets. `count` is how many, `beyond` how many more were not taken in; none can be had from here."""

    def __init__(self, words: Iterable[str], codes: Iterable[str] = ()) -> None:
        """`codes`: codes for first contact, as the hashes in base64 of which alone the gateway knows them."""
        self._codes = frozenset(codes)
        found = sorted({word for word in words if len(word) >= MIN_SECRET_CHARS})
        self.count = min(len(found), MAX_SECRETS)
        self.beyond = len(found) - self.count
        self._forms: dict[str, list[str]] = {}
        for form in {form for word in found[:MAX_SECRETS] for form in forms_of(word)}:
            self._forms.setdefault(form[:MIN_SECRET_CHARS], []).append(form)
        for forms in self._forms.values():
            forms.sort(key=len, reverse=True)  # so that no rest of a longer one stays

    def hide(self, text: str) -> tuple[str, int]:
        """The text without secrets, and how many places were hidden."""
        pieces, at, count = [], 0, 0
        for start, end in self._places(text):
            pieces += [text[at:start], HIDDEN]
            at, count = end, count + 1
        text = "".join([*pieces, text[at:]])
        for code in {found[0] for found in _CODE.finditer(text) if self._is_code(found[0])}:
            count += text.count(code)
            text = text.replace(code, HIDDEN)
        for pattern in _PATTERNS:
            text, more = pattern.subn(_between, text)
            count += more
        return text, count

    def are_in(self, data: bytes) -> bool:
        """Whether some known secret is there still, in any of its forms."""
        return next(self._places(data.decode("utf-8", "replace")), None) is not None

    def _is_code(self, text: str) -> bool:
        plain = plain_code(text) if self._codes else None
        return plain is not None and base64.b64encode(secret_of_code(plain)).decode() in self._codes

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        """Where secrets stand. By their first letters: a pattern of thousands of words would try each at each place."""
        at = 0
        while at < len(text):
            forms = self._forms.get(text[at : at + MIN_SECRET_CHARS], ())
            found = next((form for form in forms if text.startswith(form, at)), "")
            if found:
                yield at, at + len(found)
            at += len(found) or 1


def _between(found: re.Match[str]) -> str:
    return f"{found[1]}{HIDDEN}{found[2]}"


def forms_of(secret: str) -> set[str]:
    """How a secret may stand in a text: as it is, escaped, as base64 in any place of a longer text, as hex."""
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]}
    forms |= set(map(_small_escapes, forms))
    raws = {secret.encode()}
    decoded = _decoded(secret)
    if decoded is not None:
        raws.add(decoded)
    for raw in raws:
        escaped = quote(raw, safe="")
        forms |= {raw.hex(), raw.hex().upper(), escaped, _small_escapes(escaped), *_base64_of(raw)}
    return {form for form in forms if len(form) >= MIN_SECRET_CHARS}


def _small_escapes(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), text)


def _decoded(secret: str) -> bytes | None:
    """The bytes of a key that is written in base64."""
    if len(secret) < 16 or re.fullmatch(r"[A-Za-z0-9+/_-]+={0,2}", secret) is None:
        return None
    try:
        return base64.b64decode(secret.replace("-", "+").replace("_", "/") + "=" * (-len(secret) % 4))
    except binascii.Error:
        return None


def _base64_of(raw: bytes) -> Iterator[str]:
    """What of it stands in base64 of any text that holds it: at each of three offsets, without the ends."""
    for whole in (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
        yield from (whole, whole.rstrip("="))
    for offset in range(3):
        text = base64.b64encode(bytes(offset) + raw)
        first, last = -(-offset * 4 // 3) if offset else 0, len(text) - (4 if (offset + len(raw)) % 3 else 0)
        core = text[first:last]
        if len(core) >= 12:
            yield core.decode()
            yield core.decode().replace("+", "-").replace("/", "_")


# --- where they are found -------------------------------------------------------------------------------------------

_SHOWN: Final = frozenset(
    row.name
    for row in SETTINGS
    if row.kind is not Kind.TEXT or not row.name.endswith(("_STRING", "_PASSWORD", "_SECRET"))
)
"""The gateway's settings that are no secrets; what leads to a key is the name of a file."""


def is_secret_name(name: str) -> bool:
    """Whether what has this name is a secret."""
    if name in _SHOWN:
        return False
    words = [word for word in _WORDS.findall(name) if word]
    return "connectionstring" in "".join(words).lower() or any(map(_SECRET_WORDS.fullmatch, words))


def known_secrets(
    environ: Mapping[str, str], data: Path, secrets_dir: Path | None, files: Iterable[Path], document: Any = None
) -> Secrets:
    """All secrets of this gateway; `files` hold one each, besides. `document`: the settings, where none should be."""
    words = [*_words(environ, data, secrets_dir, files), *_of_json(document, "")]
    return Secrets(words, _code_hashes(data / "claims.json"))


def _code_hashes(file: Path) -> Iterator[str]:
    found = _json(file)
    codes = found.get("codes") if isinstance(found, dict) else None
    for code in (codes if isinstance(codes, dict) else {}).values():
        if isinstance(code, dict):
            yield str(code.get("secret"))


def _words(environ: Mapping[str, str], data: Path, secrets_dir: Path | None, files: Iterable[Path]) -> Iterator[str]:
    for word in _wholes(environ, data, secrets_dir, files):
        yield word
        yield from (unquote(signature) for signature in _SIGNATURE.findall(word))


def _wholes(environ: Mapping[str, str], data: Path, secrets_dir: Path | None, files: Iterable[Path]) -> Iterator[str]:
    for name, value in environ.items():
        if is_secret_name(name):
            yield from _of_text(value)
        yield from _of_address(value)
    for name in SECRET_FILES:
        yield from _of_json(_json(data / name), "")
    yield from _of_text(_text(data / "page-token"))
    folder = [] if secrets_dir is None or not secrets_dir.is_dir() else sorted(secrets_dir.iterdir())
    for file in [*folder, *files]:
        yield from _of_text(_text(file))


_SIGNATURE: Final = re.compile(r"\bsig=([^&;\s]+)")
_LOGIN: Final = re.compile(r"(?://|\A)[^\s:]*:(.+)@", re.DOTALL)
"""A user and a password before a host; without a scheme, too, as HTTPS_PROXY may be written."""
_KEY_FIELDS: Final = ("sharedaccesskey", "sharedaccesssignature", "accountkey", "password")


def _of_text(text: str) -> Iterator[str]:
    """A secret: the whole of it, the parts of a connection string, of user:password, the lines of a key."""
    text = text.strip()
    if not text or text.startswith("-----BEGIN CERTIFICATE"):
        return
    yield text
    yield from _of_string(text)
    if "\n" not in text and text.count(":") == 1:
        yield text.partition(":")[2]
    for line in text.splitlines():
        if line and not line.startswith("-----"):
            yield line.strip()


def _of_string(text: str) -> Iterator[str]:
    """The keys in a connection string."""
    if "=" in text and ";" in text:
        fields = connection_fields(text)
        yield from (fields[name] for name in _KEY_FIELDS if name in fields)


def _of_address(value: str) -> Iterator[str]:
    """The password in an address, as of a proxy; also of one that cannot be read, as its password has a slash."""
    found = _LOGIN.search(value)
    if found is None:
        return
    words = {found[1], found[1].rpartition("@")[0]}  # there may be another @ behind the host
    with suppress(ValueError):
        words.add(urlsplit(value).password or "")
    yield from (form for word in words if word for form in (word, unquote(word)))


def _of_json(value: Any, name: str) -> Iterator[str]:
    """What stands below a name of a secret, and all tokens of devices."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if isinstance(inner, str):
                is_secret = (is_secret_name(key) or name == "tokens") and not _ROUTE.match(inner)
                yield from [inner] if is_secret else _of_string(inner)
            else:
                yield from _of_json(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            yield from _of_json(inner, name)


def _json(file: Path) -> Any:
    try:
        return json.loads(_text(file))
    except ValueError:
        return None


def _text(file: Path) -> str:
    """The text of a file of secrets; nothing if it cannot be read, is none, or is too large to be one."""
    try:
        with file.open("rb") as content:
            data = content.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError:
        return ""
    return "" if len(data) > MAX_SECRET_FILE_BYTES else data.decode("utf-8", "replace")


def hidden_json(value: Any, name: str = "") -> Any:
    """A JSON value in which what has a secret's name is hidden."""
    if isinstance(value, dict):
        return {key: hidden_json(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [hidden_json(inner, name) for inner in value]
    is_shown = value in (None, "", True, False) or (isinstance(value, str) and _ROUTE.match(value) is not None)
    return value if is_shown or not is_secret_name(name) else HIDDEN
