from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edgeca import files
from edgeca.folder import Folder, Wish
from edgeca.inspection import describe, find_problems
from edgeca.profiles import Kind
from edgeca.revocation import Reason
from edgeca.revoking import Lists, target_of_entry

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path, clock=lambda: NOW)
    folder.init()
    return folder


def problems(folder: Folder, now: datetime = NOW, within: timedelta = timedelta(0)) -> list[tuple[str, str]]:
    return [(problem.label, problem.what) for problem in find_problems(folder.directory, now, within)]


def test_a_fresh_folder_has_no_problem(folder: Folder) -> None:
    folder.edge_ca("pi")
    folder.server(["gateway.local"])
    folder.self_signed("board-1")
    assert problems(folder, within=30 * DAY) == []


def test_a_description_says_it_all(folder: Folder) -> None:
    made = folder.server(["gateway.local", "10.0.0.5"], Wish(days=90))
    found = describe(made.entry, made.credential, NOW)
    assert (found.name, found.names) == ("gateway.local", ("gateway.local", "gateway", "10.0.0.5"))
    assert (found.key, found.days_left) == ("EC P-256", 90)
    assert (found.starts_at, found.ends_at) == (NOW - DAY, NOW + 90 * DAY)
    assert [name.split(" CA")[0] for name in found.chain] == ["gateway.local", "Edge test issuing", "Edge test root"]
    assert found.files == made.entry.paths


@pytest.mark.parametrize(
    ("later", "days"),
    [
        (timedelta(0), 90),
        (timedelta(seconds=1), 89),
        (89 * DAY, 1),
        (90 * DAY - timedelta(seconds=1), 0),
        (90 * DAY, 0),
        (90 * DAY + timedelta(seconds=1), -1),
    ],
)
def test_days_left_round_down(folder: Folder, later: timedelta, days: int) -> None:
    made = folder.server(["a"], Wish(days=90))
    assert describe(made.entry, made.credential, NOW + later).days_left == days


@pytest.mark.parametrize(
    ("later", "within", "what"),
    [
        (60 * DAY - timedelta(seconds=1), 30 * DAY, []),
        (60 * DAY, 30 * DAY, ["ends in 30 days, on 2027-02-19"]),
        (89 * DAY, timedelta(0), []),
        (89 * DAY + timedelta(hours=20), DAY, ["ends in 4 hours, on 2027-02-19"]),
        (90 * DAY, timedelta(0), ["ended on 2027-02-19"]),
        (-2 * DAY, timedelta(0), ["starts only on 2026-11-20; is the clock right?"]),
    ],
)
def test_what_ends_within_the_span_is_a_problem(
    folder: Folder, later: timedelta, within: timedelta, what: list[str]
) -> None:
    folder.server(["a"], Wish(days=90))
    found = [text for label, text in problems(folder, NOW + later, within) if label == "server a"]
    assert found == what


def test_a_leaf_whose_ca_ends_first_says_so(folder: Folder) -> None:
    folder.init(None, Wish(days=20, force=True))
    late = Folder(folder.directory, clock=lambda: NOW)
    late.server(["a"])
    found = dict(problems(folder, NOW + 15 * DAY, 6 * DAY))
    assert found["root"].startswith("ends in 5 days")
    assert found["server a"].startswith("ends in 5 days")


def test_what_another_root_signed_is_a_problem(folder: Folder) -> None:
    folder.server(["a"])
    folder.init(None, Wish(force=True))
    (found,) = problems(folder)
    assert found[0] == "server a"
    assert "is not the root in this folder" in found[1]


def test_a_signature_that_does_not_hold_is_a_problem(folder: Folder) -> None:
    entry = folder.server(["a"]).entry
    chain = entry.full_chain_path.read_bytes()
    leaf, issuing, root = chain.split(b"-----END CERTIFICATE-----\n")[:3]
    end = b"-----END CERTIFICATE-----\n"
    entry.full_chain_path.write_bytes(leaf + end + root + end + issuing + end)
    assert "was not signed by" in dict(problems(folder))["server a"]


def test_a_key_open_to_others_is_a_problem_with_its_remedy(folder: Folder) -> None:
    entry = folder.server(["a"]).entry
    entry.key_path.chmod(0o640)
    (found,) = find_problems(folder.directory, NOW)
    assert found.what == "its key is open to others (mode 0640)"
    assert found.remedy == f"chmod 600 {entry.key_path}"


def test_damage_is_a_problem_and_stops_nothing_else(folder: Folder) -> None:
    folder.server(["a"]).entry.key_path.write_bytes(b"garbage")
    folder.server(["b"]).entry.full_chain_path.unlink()
    folder.edge_ca("pi", Wish(days=3))
    labels = [label for label, _ in problems(folder, within=5 * DAY)]
    assert labels == ["edge-ca pi", "server a", "server b"]


def test_what_ends_soon_is_to_be_renewed(folder: Folder) -> None:
    folder.server(["gateway.local", "10.0.0.5"], Wish(days=3))
    folder.edge_id("pi", Wish(days=3))
    folder.self_signed("board-1", Wish(days=3))
    folder.proof("A1", Wish(days=3))
    where = f"--dir {folder.directory}"
    assert [found.remedy for found in find_problems(folder.directory, NOW, 5 * DAY)] == [
        f"edgeca renew pi --kind edge-id {where}",
        f"edgeca renew board-1.primary --kind self-signed {where}",
        f"edgeca renew board-1.secondary --kind self-signed {where}",
        f"edgeca renew gateway.local --kind server {where}",
        f"edgeca proof A1 {where} --force",
    ]


def test_a_ca_that_ends_is_to_be_renewed_before_what_it_has_signed(folder: Folder) -> None:
    folder.server(["a"])
    remedies = {found.label: found.remedy for found in find_problems(folder.directory, NOW, 1830 * DAY)}
    assert remedies == {
        "issuing": f"edgeca renew issuing --dir {folder.directory}",
        "server a": f"edgeca renew a --kind server --dir {folder.directory}",
    }
    remedies = {found.label: found.remedy for found in find_problems(folder.directory, NOW + 3660 * DAY)}
    assert remedies["root"] == f"edgeca renew root --dir {folder.directory}"


def test_what_was_revoked_and_lists_that_are_due_are_problems(folder: Folder) -> None:
    made = folder.device("board-1")
    lists = Lists(folder, lambda: NOW)
    assert list(find_problems(folder.directory, NOW)) == []
    lists.revoke([target_of_entry(folder, made.entry)], Reason.SUPERSEDED, days=10)
    (found,) = find_problems(folder.directory, NOW)
    assert (found.label, found.what) == ("device board-1", "it was revoked on 2026-11-21 (superseded)")
    assert found.remedy.startswith(f"edgeca device board-1 --dir {folder.directory} --force")
    due = [each.what for each in find_problems(folder.directory, NOW, 10 * DAY) if each.label.startswith("revocation")]
    assert due == ["its next one is due in 10 days, on 2026-12-01"] * 2
    over = [
        each.what for each in find_problems(folder.directory, NOW + 11 * DAY) if each.label.startswith("revocation")
    ]
    assert over == ["its next one was due on 2026-12-01"] * 2
    (folder.directory / "root.crl.pem").write_text("garbage")
    assert "holds no readable revocation list" in next(iter(find_problems(folder.directory, NOW))).what


def test_a_list_of_another_ca_is_told(folder: Folder) -> None:
    Lists(folder, lambda: NOW).refresh(within=DAY)
    folder.init("Other", Wish(force=True))
    whats = [found.what for found in find_problems(folder.directory, NOW)]
    assert whats == ["it is that of another CA"] * 2


def test_the_remedy_for_an_unreadable_server_names_what_is_known(folder: Folder) -> None:
    folder.server(["gateway.local"]).entry.certificate_path.write_bytes(b"garbage")
    (found,) = find_problems(folder.directory, NOW)
    assert found.remedy == f"edgeca server gateway.local --dir {folder.directory} --force"


def test_the_remedy_for_a_ca_tells_what_follows(folder: Folder) -> None:
    (folder.directory / "issuing.key.pem").write_bytes(b"garbage")
    (found,) = find_problems(folder.directory, NOW)
    assert found.remedy == f"edgeca init --dir {folder.directory} --force, and then make everything below it anew"


def test_a_damaged_root_is_told_like_any_other(folder: Folder) -> None:
    folder.server(["a"])
    files.Entry(directory=folder.directory, kind=Kind.ROOT).key_path.write_bytes(b"garbage")
    assert ("root", f"{folder.directory}/root.key.pem holds no readable private key (PEM, without a password)") in (
        problems(folder)
    )
