from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgeca import report
from edgeca.folder import Folder, Made, Wish
from edgeca.inspection import Problem, describe

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path, clock=lambda: NOW)
    folder.init()
    return folder


def text_of(*made: Made, now: datetime = NOW) -> str:
    return report.made_text([(each, describe(each.entry, each.credential, now)) for each in made])


def test_a_new_certificate_is_told_with_names_end_chain_thumbprints_and_files(folder: Folder) -> None:
    made = folder.server(["gateway.local", "10.0.0.5"], Wish(days=90))
    found = describe(made.entry, made.credential, NOW)
    ca, root = found.chain[1:]
    assert text_of(made).splitlines() == [
        "server gateway.local: made",
        "  names       gateway.local, gateway, 10.0.0.5",
        "  subject     gateway.local",
        "  until       2027-02-19 12:00 UTC (90 days left), EC P-256",
        f"  signed by   {ca} < {root}",
        f"  SHA-1       {found.sha1}",
        f"  SHA-256     {found.sha256}",
        f"  certificate {folder.directory}/server/gateway.local.cert.pem",
        f"  key         {folder.directory}/server/gateway.local.key.pem",
        f"  chain       {folder.directory}/server/gateway.local.chain.pem",
        f"  full chain  {folder.directory}/server/gateway.local.full-chain.pem",
    ]


def test_one_that_was_there_is_told_as_such(folder: Folder) -> None:
    folder.server(["a"])
    assert text_of(folder.server(["a"])).startswith("server a: nothing to do, it is there already\n")


def test_a_replaced_one_tells_where_the_old_one_went(folder: Folder) -> None:
    folder.server(["a"])
    made = folder.server(["a"], Wish(force=True))
    assert f"  old one     {made.retired}" in text_of(made)


def test_the_next_step_follows_where_there_is_one(folder: Folder) -> None:
    assert text_of(folder.edge_ca("pi")).endswith("next: the lines for config.toml: edgeca toml pi")
    assert "primary and the secondary thumbprint" in text_of(*folder.self_signed("board-1")).splitlines()[-1]
    assert "next:" not in text_of(folder.server(["a"]))


@pytest.mark.parametrize(
    ("later", "words"),
    [(timedelta(days=89, hours=23), "(1 hour left)"), (timedelta(days=90), "(it has ended)")],
)
def test_the_end_is_told_in_words(folder: Folder, later: timedelta, words: str) -> None:
    made = folder.server(["a"], Wish(days=90))
    assert words in report.description_text(describe(made.entry, made.credential, NOW + later))


def test_json_has_the_same_facts(folder: Folder) -> None:
    made = folder.server(["gateway.local"], Wish(days=90))
    found = describe(made.entry, made.credential, NOW)
    assert report.made_json(made, found) == {
        "kind": "server",
        "name": "gateway.local",
        "commonName": "gateway.local",
        "names": ["gateway.local", "gateway"],
        "key": "EC P-256",
        "serial": f"{made.credential.certificate.serial_number:X}",
        "thumbprintSha1": found.sha1,
        "thumbprintSha256": found.sha256,
        "startsAt": "2026-11-20T12:00:00Z",
        "endsAt": "2027-02-19T12:00:00Z",
        "daysLeft": 90,
        "chain": list(found.chain),
        "revokedAt": None,
        "files": {
            "certificate": f"{folder.directory}/server/gateway.local.cert.pem",
            "key": f"{folder.directory}/server/gateway.local.key.pem",
            "chain": f"{folder.directory}/server/gateway.local.chain.pem",
            "fullChain": f"{folder.directory}/server/gateway.local.full-chain.pem",
        },
        "changed": True,
        "retired": None,
    }


def test_a_problem_comes_with_what_to_do() -> None:
    problem = Problem(label="server a", what="ended on 2026-01-01", remedy="edgeca server a --force")
    assert report.problem_text(problem) == "server a: ended on 2026-01-01\n  what to do: edgeca server a --force"
    assert report.problem_json(problem) == {
        "label": "server a",
        "what": "ended on 2026-01-01",
        "remedy": "edgeca server a --force",
    }
