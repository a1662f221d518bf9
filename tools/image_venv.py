"""Finishes the environment that the image gets: a step of the Dockerfiles' build stage, on what it has installed.

The straight line of a message is compiled beside the installed sources, what no running gateway reads is taken out, and
the rest is compiled to bytecode, as the image's file system is read-only. COMPILED=no leaves the line plain.
"""

import argparse
import compileall
import py_compile
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import compile_line

UNREAD_FOLDERS: Final = ("test", "tests", "testing")
UNREAD_SUFFIXES: Final = (".c", ".cpp", ".h", ".pxd", ".pxi", ".pyi", ".pyx")
"""Types and sources of what is compiled already."""


def packages_of(environment: Path) -> Path:
    """Where this environment has its packages."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))


def show_to_the_compiler(packages: Path) -> None:
    """Let the tools' Python find these packages: the compiler reads their types."""
    own = Path(sysconfig.get_path("purelib"))
    (own / "gateway-packages.pth").write_text(f"{packages}\n")


def put_compiled_line_into(packages: Path) -> int:
    """Compile the line and copy what came of it beside its sources. Returns the compiler's exit code."""
    show_to_the_compiler(packages)
    code = compile_line.compile_line()
    for built in compile_line.OUT.rglob("*.so"):
        shutil.copy2(built, packages / built.relative_to(compile_line.OUT))
    return code


def unread_of(packages: Path) -> Iterator[Path]:
    """Folders and files that no running gateway reads."""
    for path in packages.rglob("*"):
        is_folder = path.is_dir() and path.name in UNREAD_FOLDERS
        if is_folder or (path.is_file() and path.suffix in UNREAD_SUFFIXES):
            yield path


def take_out_unread(packages: Path) -> None:
    """Remove them."""
    for path in list(unread_of(packages)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def compile_to_bytecode(packages: Path) -> None:
    """Bytecode that is right for as long as the image lives: it need not be compared with its source."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(packages, quiet=2, invalidation_mode=mode)


def main() -> int:
    """Do the step. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", type=Path)
    parser.add_argument("compiled", choices=("yes", "no"))
    arguments = parser.parse_args()
    packages = packages_of(arguments.environment)
    if arguments.compiled == "yes" and put_compiled_line_into(packages):
        print("image: the line did not compile, see above; --build-arg COMPILED=no leaves it plain", file=sys.stderr)
        return 1
    take_out_unread(packages)
    compile_to_bytecode(packages)
    return 0


if __name__ == "__main__":
    sys.exit(main())
