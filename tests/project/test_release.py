"""One version everywhere; a release in a clone of its own: changelog, files, checksums, tag, and what it refuses."""

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
import sbom
import version
import wheels

from gateway import __version__
from project_sources import ROOT

SCHEMAS = ROOT / "tests" / "schemas"
RELEASE_S = 200.0
"""A release makes three wheels: half a minute on a machine that has more to do."""
NEXT, AFTER = (f"{version.order_of(version.read_version())[0] + 1}.0.{number}" for number in (0, 1))


@pytest.mark.parametrize("place", version.PLACES, ids=[place.file for place in version.PLACES])
def test_every_place_says_the_one_version(place: version.Place) -> None:
    assert version.said(place) == version.read_version() == __version__


def test_a_place_that_does_not_say_it_once_is_an_error(tmp_path: Path) -> None:
    place = version.Place("x", version.PLACES[0].line)
    (tmp_path / "x").write_text('__version__ = "1"\n__version__ = "2"\n')
    with pytest.raises(ValueError, match="2 times"):
        version.said(place, tmp_path)


# The bill of materials


def validator() -> Any:
    files = [json.loads(path.read_text()) for path in SCHEMAS.glob("cyclonedx-*.json")]
    resources = [(each["$id"], referencing.Resource.from_contents(each)) for each in files]
    [schema] = [each for each in files if each["$id"].endswith("bom-1.6.schema.json")]
    return jsonschema.Draft7Validator(schema, registry=referencing.Registry().with_resources(resources))


@pytest.mark.parametrize("platform", wheels.MACHINES)
def test_the_bill_of_materials_is_valid_and_whole(platform: str) -> None:
    document = sbom.bill_of_materials(platform, NEXT, 0)
    validator().validate(document)
    lock = (wheels.FOLDER / "requirements.lock").read_text()
    wanted = {each.name for each in wheels.read_lock(lock) if each.is_for(wheels.MACHINES[platform])}
    assert {component["name"] for component in document["components"]} == wanted
    assert document == sbom.bill_of_materials(platform, NEXT, 0), "the same input gives the same document"


def test_the_schema_would_notice_a_fault() -> None:
    document = sbom.bill_of_materials("amd64", NEXT, 0)
    document["components"][0]["hashes"] = [{"alg": "SHA-256", "content": "no"}]
    assert not validator().is_valid(document)


def test_everything_in_it_is_needed_by_something() -> None:
    document = sbom.bill_of_materials("amd64", NEXT, 0)
    needed = {ref for row in document["dependencies"] for ref in row["dependsOn"]}
    assert needed == {component["bom-ref"] for component in document["components"]}


# A release


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with what is in this one, as it is now."""
    folder = tmp_path_factory.mktemp("source") / "gateway"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "changes").mkdir(exist_ok=True)  # right after a release there is no fragment, so one is always added
    (folder / "changes" / "0000-test.md").write_text("Told in a [page](../docs/release.md).\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "Tester")
    git(folder, "config", "user.email", "tester@example.com")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All of it")
    return folder


@pytest.fixture
def clone(source: Path, tmp_path: Path) -> Path:
    """A clone of it, to release from."""
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(source), str(folder)], check=True)
    git(folder, "config", "user.name", "Tester")
    git(folder, "config", "user.email", "tester@example.com")
    return folder


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def release(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "tools" / "make_release.py"), *words]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=RELEASE_S)


def refusal(folder: Path, *words: str) -> str:
    done = release(folder, *words)
    assert done.returncode != 0, done.stdout
    return done.stderr


@pytest.mark.timeout(2 * RELEASE_S)
def test_a_release_is_a_commit_a_tag_and_files_and_goes_on_where_it_was_cut_short(clone: Path) -> None:
    told = [path.read_text().splitlines()[0] for path in sorted((clone / "changes").glob("*.md"))]
    done = release(clone, NEXT, "--images", "none")
    assert done.returncode == 0, done.stderr
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "log", "-1", "--format=%s %D").startswith(f"Release {NEXT} HEAD -> main, tag: v{NEXT}")
    assert {version.said(place, clone) for place in version.PLACES} == {NEXT}
    assert not list((clone / "changes").glob("*.md"))
    changelog = (clone / "CHANGELOG.md").read_text()
    assert f"\n## {NEXT} — " in changelog
    assert all(line.replace("](../", "](") in changelog for line in told)
    assert_files(clone / "build" / "release" / NEXT)
    commit = git(clone, "rev-parse", "HEAD")
    git(clone, "tag", "--delete", f"v{NEXT}")
    done = release(clone, NEXT, "--images", "none")
    assert done.returncode == 0, done.stderr
    assert git(clone, "rev-parse", f"v{NEXT}^{{commit}}") == commit
    assert "holds no fragment" in refusal(clone, AFTER, "--images", "none")


def assert_files(folder: Path) -> None:
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == value for name, value in sums.items())
    kinds = {"edge_gateway", "standin", "edgeca"}
    assert {f"{kind}-{NEXT}-py3-none-any.whl" for kind in kinds} <= set(sums)
    assert {f"edge-gateway-{NEXT}-{platform}.cdx.json" for platform in wheels.MACHINES} <= set(sums)
    with tarfile.open(folder / f"edge-gateway-{NEXT}.tar.gz") as archive:
        assert f"edge-gateway-{NEXT}/VERSION" in archive.getnames()


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(clone: Path) -> None:
    before = git(clone, "rev-parse", "HEAD")
    done = release(clone, NEXT, "--images", "none", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"## {NEXT} — " in done.stdout
    assert "modules/gateway/module.json" in done.stdout
    assert (git(clone, "rev-parse", "HEAD"), git(clone, "tag"), git(clone, "status", "--porcelain")) == (before, "", "")


def test_a_commit_that_fails_leaves_the_tree_as_it_was(clone: Path) -> None:
    hook = clone / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no name is set >&2; exit 1\n")
    hook.chmod(0o755)
    assert "release: git commit: no name is set" in refusal(clone, NEXT, "--images", "none")
    assert git(clone, "status", "--porcelain") == ""
    hook.unlink()
    assert release(clone, NEXT, "--images", "none", "--dry-run").returncode == 0


def test_what_is_not_committed_is_not_released(clone: Path) -> None:
    (clone / "README.md").write_text("x")
    assert "commit these first" in refusal(clone, NEXT, "--images", "none")


def test_versions_only_rise_and_are_three_numbers(clone: Path) -> None:
    assert "is before" in refusal(clone, "0.0.9", "--images", "none")
    assert "write three numbers" in refusal(clone, "1.0", "--images", "none")
    git(clone, "tag", f"v{NEXT}")
    assert "was released already" in refusal(clone, NEXT, "--images", "none")


def test_a_platform_that_there_is_no_image_for_is_named(clone: Path) -> None:
    assert "there is no image for riscv64" in refusal(clone, NEXT, "--images", "riscv64")


def test_the_first_section_follows_the_head_and_precedes_the_older_ones() -> None:
    import make_release as tool

    text = tool.with_section("# Changes\n\nWords.\n\n## 1.0.0 — then\n\nold\n", "## 1.1.0 — now\n\nnew\n")
    assert text == "# Changes\n\nWords.\n\n## 1.1.0 — now\n\nnew\n\n## 1.0.0 — then\n\nold\n"
