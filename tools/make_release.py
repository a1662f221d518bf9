"""`make release VERSION=1.4.0`: version, changelog, tag and the files of a release. See docs/release.md.

The version is written into all its places, the fragments of changes/ become a section of CHANGELOG.md, both are
committed, the files are made in build/release/VERSION, and the tag comes last: where it is, the files were made. A
release that was cut short goes on where it stopped when the same command is given again. Nothing is pushed.
"""

import argparse
import gzip
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import image
import sbom
import version
import wheels

ROOT: Final = Path(__file__).parents[1]
CHANGELOG: Final = "CHANGELOG.md"
CHANGES: Final = "changes"
PACKAGES: Final = ("modules/gateway", "standin", "certs")
TEMPLATES: Final = ("deployment.template.json", "deployment.debug.template.json", "deployment.layered.template.json")
SUMS: Final = "SHA256SUMS"
PLATFORMS: Final = tuple(wheels.MACHINES)


class ReleaseError(Exception):
    """There can be no release; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is asked for."""

    version: str
    images: Sequence[str] = PLATFORMS
    dry: bool = False

    @property
    def tag(self) -> str:
        """The name of the release in git."""
        return f"v{self.version}"


def git(*words: str) -> str:
    """What git says. Raises ReleaseError."""
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"release: git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def fragments() -> list[Path]:
    """What has changed since the last release, in the order it is told."""
    return sorted((ROOT / CHANGES).glob("*.md"))


def section(number: str, day: str) -> str:
    """The part of the changelog that is made of the fragments. Their links are from one folder up then."""
    texts = [path.read_text().strip().replace("](../", "](") for path in fragments()]
    return "\n\n".join([f"## {number} — {day}", *texts]) + "\n"


def with_section(changelog: str, text: str) -> str:
    """The changelog with a new first section, behind what stands before all sections."""
    head, mark, rest = changelog.partition("\n## ")
    return f"{head.rstrip()}\n\n{text}" + (f"\n## {rest}" if mark else "")


def is_begun(wish: Wish) -> bool:
    """Whether the commit of this release is there, and was cut short of its tag."""
    return version.read_version(ROOT) == wish.version and git("log", "-1", "--format=%s") == message_of(wish)


def message_of(wish: Wish) -> str:
    """Of the commit."""
    return f"Release {wish.version}"


def check(wish: Wish) -> None:
    """Raises ReleaseError if there can be no such release, now or here."""
    try:
        wanted, present = version.order_of(wish.version), version.order_of(version.read_version(ROOT))
    except ValueError as error:
        raise ReleaseError(f"release: {error}") from error
    if changed := git("status", "--porcelain"):
        raise ReleaseError(f"release: commit these first, or put them away with git stash:\n{changed}")
    if git("tag", "--list", wish.tag):
        raise ReleaseError(f"release: {wish.tag} was released already: choose a higher version")
    if wanted < present:
        raise ReleaseError(f"release: {wish.version} is before {version.read_version(ROOT)}: choose a higher version")
    if not fragments() and not is_begun(wish):
        raise ReleaseError(f"release: {CHANGES}/ holds no fragment: what is new? Say it in {CHANGES}/000N-part.md")
    for place in version.PLACES:
        if version.said(place, ROOT) != version.read_version(ROOT):
            raise ReleaseError(f"release: {place.file} does not say {version.read_version(ROOT)}, as VERSION does")
    if wish.images:
        _ask_engine()


def _ask_engine() -> None:
    try:
        image.engine()
    except image.ImageError as error:
        raise ReleaseError(f"{error}. Or leave the images out: IMAGES=none") from error


def prepare(wish: Wish) -> None:
    """Write versions and changelog, and commit them."""
    changelog = ROOT / CHANGELOG
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    changelog.write_text(with_section(changelog.read_text(), section(wish.version, day)))
    told = [str(path.relative_to(ROOT)) for path in fragments()]
    written = version.write_version(wish.version, ROOT)
    git("rm", "--quiet", "--", *told)
    git("add", "--", CHANGELOG, *written)
    try:
        git("commit", "--quiet", "--message", message_of(wish))
    except ReleaseError:  # no name set, a hook, no key to sign with: nothing else was there, so nothing else is lost
        git("reset", "--quiet", "--hard")
        raise


def make_files(wish: Wish) -> Path:
    """All files of the release, and their checksums. Returns the folder."""
    folder = ROOT / "build" / "release" / wish.version
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = make_source(wish, folder)
    make_wheels(source, folder)
    make_templates(folder)
    make_boms(wish, folder)
    make_images(wish, folder)
    write_sums(folder)
    return folder


def make_source(wish: Wish, folder: Path) -> Path:
    """The sources as they are in the commit. Returns the archive, whose one folder is named as it is."""
    name = f"edge-gateway-{wish.version}"
    file = folder / f"{name}.tar.gz"
    git("archive", "--format=tar.gz", f"--prefix={name}/", f"--output={file}", "HEAD")
    return file


def make_wheels(source: Path, folder: Path) -> None:
    """Our three packages, from the archive: gateway, stand-in, CA tool."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": git("log", "-1", "--format=%ct")}
    how = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    with TemporaryDirectory() as unpacked:
        shutil.unpack_archive(source, unpacked)
        where = [f"{unpacked}/{source.name.removesuffix('.tar.gz')}/{package}" for package in PACKAGES]
        done = subprocess.run([sys.executable, "-m", "pip", "wheel", *how, *where], env=environment, check=False)
    if done.returncode:
        raise ReleaseError("release: a wheel was not built; the lines above say why")


def make_templates(folder: Path) -> None:
    """The templates, and the names of their variables."""
    for name in (*TEMPLATES, ".env.tmp"):
        shutil.copyfile(ROOT / name, folder / (name.lstrip(".")))


def make_boms(wish: Wish, folder: Path) -> None:
    """What each image is made of."""
    for platform in PLATFORMS:
        document = sbom.bill_of_materials(platform, wish.version, int(git("log", "-1", "--format=%ct")))
        name = f"edge-gateway-{wish.version}-{platform}.cdx.json"
        (folder / name).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def make_images(wish: Wish, folder: Path) -> None:
    """The images, as `docker load` and `podman load` take them."""
    for platform in wish.images:
        wanted, program = image.Wish(platform=platform), image.engine()
        try:
            image.make(program, wanted)
        except image.ImageError as error:
            raise ReleaseError(str(error)) from error
        _save(program, wanted, folder / f"edge-gateway-{wish.version}-{platform}.tar.gz")


def _save(program: str, wish: image.Wish, file: Path) -> None:
    """Without the time in gzip's header: the same image has the same checksum."""
    with subprocess.Popen([program, "save", wish.name], stdout=subprocess.PIPE) as saving, file.open("wb") as plain:
        assert saving.stdout is not None
        with gzip.GzipFile(filename="", mode="wb", fileobj=plain, mtime=0) as packed:
            shutil.copyfileobj(saving.stdout, packed)
    if saving.returncode:
        raise ReleaseError(f"release: {wish.name} cannot be saved")


def write_sums(folder: Path) -> None:
    """Checksums of all files, as `sha256sum --check` reads them."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (folder / SUMS).write_text("".join(lines))


def release(wish: Wish) -> None:
    """Do it, or with `dry` say what would be done. Raises ReleaseError."""
    check(wish)
    if wish.dry:
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        print(section(wish.version, day))
        print(
            f"release: would write {wish.version} into {', '.join([version.FILE, *(p.file for p in version.PLACES)])}"
        )
        print(f"release: would commit, make images for {', '.join(wish.images) or 'none'}, and tag {wish.tag}")
        return
    if not is_begun(wish):
        prepare(wish)
    folder = make_files(wish)
    git("tag", "--annotate", wish.tag, "--message", message_of(wish))
    print(f"release: {wish.tag} is made; its files are in {folder.relative_to(ROOT)}")
    print(f"release: to publish it, `git push origin HEAD {wish.tag}`, and push the images: docs/release.md")


def wish_of(words: Sequence[str] | None) -> Wish:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="three numbers, as 1.4.0")
    parser.add_argument("--images", default=" ".join(PLATFORMS), help="platforms, or none; default: %(default)s")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    arguments = parser.parse_args(words)
    images = [] if arguments.images == "none" else re.split(r"[ ,]+", arguments.images.strip())
    if unknown := set(images) - set(PLATFORMS):
        parser.error(f"there is no image for {', '.join(sorted(unknown))}: {', '.join(PLATFORMS)}, or none")
    return Wish(version=arguments.version, images=images, dry=arguments.dry_run)


def main(words: Sequence[str] | None = None) -> int:
    """Make a release. Returns the exit code."""
    try:
        release(wish_of(words))
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
