"""`gateway schema` prints what editors read."""

import json

import pytest

from gateway.app.document_schema import deployment_schema, settings_schema
from gateway.cli import main


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], settings_schema()),
        (["--deployment"], deployment_schema()),
        (["--deployment", "--module", "edge"], deployment_schema("edge")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_prints_the_schema(words: list[str], wanted: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["schema", *words]) == 0
    assert json.loads(capsys.readouterr().out) == wanted
