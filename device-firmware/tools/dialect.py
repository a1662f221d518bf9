"""What the interpreter of a board lacks, found in its sources before a board does.

    python device-firmware/tools/dialect.py [FILE …]     → one line per find; without files: all code of the boards

MicroPython's compiler takes much that a board then stumbles over at run time: a module that is not in its build, a
method that was left out to save flash, a third argument. The lists are those of the ESP8266 build of 1.25 to 1.28.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FIRMWARE: Final = Path(__file__).parents[1]
FOLDERS: Final = ("boot", "leaf", "boards")

MODULES: Final = frozenset(
    {
        "array",
        "asyncio",
        "binascii",
        "cryptolib",
        "deflate",
        "ds18x20",
        "errno",
        "esp",
        "framebuf",
        "gc",
        "hashlib",
        "io",
        "json",
        "lwip",
        "machine",
        "math",
        "micropython",
        "network",
        "ntptime",
        "onewire",
        "os",
        "random",
        "re",
        "select",
        "socket",
        "struct",
        "sys",
        "time",
        "tls",
        "uctypes",
        "vfs",
    }
)
"""In the build, or frozen into it."""
HARDWARE: Final = frozenset({"machine", "network", "esp", "onewire", "ds18x20", "ntptime"})
"""Only board files and what runs before any program may import these, so that all else runs on a PC."""
NEAR_HARDWARE: Final = frozenset({"boot/go.py", "boot/power.py"})

NAMES: Final = frozenset({"aiter", "anext", "ascii", "breakpoint", "compile", "complex", "execfile", "format", "vars"})
ATTRIBUTES: Final = {
    "as_integer_ratio": "floats",
    "bit_count": "int",
    "bit_length": "int",
    "capitalize": "str",
    "casefold": "str",
    "center": "str",
    "crc32": "binascii",
    "expandtabs": "str",
    "format_map": "str",
    "is_integer": "float",
    "isidentifier": "str",
    "isnumeric": "str",
    "isprintable": "str",
    "ljust": "str",
    "maketrans": "str",
    "md5": "hashlib",
    "partition": "str",
    "removeprefix": "str",
    "removesuffix": "str",
    "rjust": "str",
    "rpartition": "str",
    "splitlines": "str",
    "swapcase": "str",
    "title": "str",
    "translate": "str",
    "zfill": "str",
}
"""What is missing, and in what. Our own names must not be among them either: that would hide a real one."""
MODULE_ATTRIBUTES: Final = frozenset({"random.randint", "random.choice", "random.shuffle", "os.path", "os.environ"})
KEYWORDS: Final = {"open": {"encoding", "errors", "newline"}, "zip": {"strict"}, "print": {"flush"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Find:
    """Something that a board cannot run."""

    path: Path
    line: int
    what: str

    def __str__(self) -> str:
        """As compilers write it."""
        return f"{self.path}:{self.line}: {self.what}"


def sources() -> list[Path]:
    """All code that runs on a board. The WiPy's has a dialect of its own."""
    return [path for folder in FOLDERS for path in sorted((FIRMWARE / folder).glob("*.py"))]


def check(path: Path, own: frozenset[str] | None = None) -> list[Find]:
    """What in this file a board's build lacks. `own`: names of our modules."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    names = own if own is not None else frozenset(source.stem for source in sources()) | {"board"}
    near = path.parent.name == "boards" or f"{path.parent.name}/{path.name}" in NEAR_HARDWARE
    return [
        Find(path=path, line=getattr(node, "lineno", 1), what=what)
        for node in ast.walk(tree)
        for what in _wrong(node, names, near=near)
    ]


def _wrong(node: ast.AST, own: frozenset[str], *, near: bool) -> Iterator[str]:
    yield from _syntax(node)
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield from _module(alias.name, own, near=near)
        case ast.ImportFrom(module=module, names=names, level=level):
            if level or module is None:
                yield "relative imports: programs are flat"
            else:
                yield from _module(module, own, near=near)
                yield from (f"{module}.{a.name} is not in the build" for a in names if _lacks(module, a.name))
        case ast.Call(func=ast.Name(id="pow"), args=[_, _, _]):
            yield "pow() takes two arguments"
        case ast.Call(func=ast.Name(id=name), keywords=keywords):
            yield from (f"{name}() has no '{k.arg}'" for k in keywords if k.arg in KEYWORDS.get(name, ()))
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield f"{name} is not in the build"
        case ast.Attribute(value=ast.Name(id=module), attr=attr) if _lacks(module, attr):
            yield f"{module}.{attr} is not in the build"
        case ast.Attribute(value=value, attr=attr) if attr in ATTRIBUTES and not _is_own(value, own):
            yield f"{ATTRIBUTES[attr]} has no '{attr}' in the build"


def _is_own(value: ast.expr, own: frozenset[str]) -> bool:
    return isinstance(value, ast.Name) and value.id in own


def _lacks(module: str, name: str) -> bool:
    return f"{module}.{name}" in MODULE_ATTRIBUTES


def _module(name: str, own: frozenset[str], *, near: bool) -> Iterator[str]:
    top = name.partition(".")[0]
    if top not in MODULES and top not in own:
        yield f"there is no module '{name}'"
    elif top in HARDWARE and not near:
        yield f"'{name}' is for board files: the rest runs on a PC, too"


def _syntax(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Match():
            yield "match is not in the language of the board"
        case ast.TryStar():
            yield "except* is not in the language of the board"
        case ast.Constant(value=complex()):
            yield "there are no complex numbers"
        case ast.arguments(posonlyargs=[_, *_]):
            yield "there are no positional-only parameters"
        case ast.AnnAssign() | ast.arg(annotation=ast.expr()):
            yield "annotations take flash and say nothing to the board"
        case ast.FormattedValue(format_spec=ast.JoinedStr(values=[*_, ast.FormattedValue()])):
            yield "a format in a format"


def main() -> None:
    """Check the files that are named, or all."""
    paths = [Path(name) for name in sys.argv[1:]] or sources()
    finds = [find for path in paths for find in check(path)]
    for find in finds:
        print(find)
    sys.exit(1 if finds else 0)


if __name__ == "__main__":
    main()
