import json
import tarfile
from pathlib import Path

import pytest

from gateway.cli.main import main


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "page-token").write_text("k" * 43)
    return folder


def test_a_dead_gateway_has_a_bundle_too(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.tar.gz"
    assert main(["support-bundle", "--data", str(data), "--out", str(out), "--offline"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{out}: {out.stat().st_size} bytes")
    assert "status.json is not in it: no gateway answers" in said
    assert out.stat().st_mode & 0o777 == 0o600
    with tarfile.open(out) as archive:
        assert "gateway-support/doctor.txt" in archive.getnames()


def test_programs_are_told_what_is_in_it(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "b.tar.gz"
    assert main(["support-bundle", "--data", str(data), "--out", str(out), "--offline", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == str(out)
    assert "environment.json" in found["files"]


def test_a_file_that_is_there_is_not_overwritten(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b.tar.gz"
    out.touch()
    assert main(["support-bundle", "--data", str(data), "--out", str(out), "--offline"]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["support-bundle", "--data", str(data), "--out", str(tmp_path / "no/b"), "--offline"]) == 2
