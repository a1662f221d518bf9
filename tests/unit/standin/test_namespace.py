from collections.abc import Iterator
from pathlib import Path

import pytest

from standin.documents import Documents
from standin.namespace import MAX_EVENT_HUBS, Namespace, NamespaceError
from standin.policies import Right


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    with Documents(tmp_path / "state.db") as documents:
        yield documents


@pytest.fixture
def namespace(tmp_path: Path, documents: Documents) -> Iterator[Namespace]:
    namespace = Namespace(tmp_path, documents, taken="hub")
    yield namespace
    namespace.close()


def test_an_event_hub_has_policies_for_sending_and_reading(namespace: Namespace) -> None:
    made = namespace.create("telemetry", 2)
    rights = {name: policy.rights for name, policy in made.policies.items()}
    assert rights == {"send": {Right.SEND}, "listen": {Right.LISTEN}, "manage": {Right.SEND, Right.LISTEN}}
    assert namespace.get("Telemetry") is made
    assert namespace.ensure("telemetry") is made
    assert namespace.policy(("TELEMETRY", "Partitions", "0"), "send") is made.policies["send"]
    assert namespace.policy((), "send") is namespace.policy(("other",), "send") is None


@pytest.mark.parametrize(
    ("name", "partitions", "said"),
    [
        ("a/b", 1, "is no name"),
        ("telemetry", 1, "already"),
        ("HUB", 1, "already"),
        ("x", 0, "0 partitions"),
        ("x", 33, "33"),
    ],
)
def test_what_cannot_be_made_is_refused(namespace: Namespace, name: str, partitions: int, said: str) -> None:
    namespace.create("telemetry")
    with pytest.raises(NamespaceError, match=said):
        namespace.create(name, partitions)


def test_a_namespace_is_bounded(namespace: Namespace) -> None:
    for number in range(MAX_EVENT_HUBS):
        namespace.create(f"e{number}")
    with pytest.raises(NamespaceError, match="has no more"):
        namespace.create("one-more")


def test_all_of_it_is_there_after_a_restart(namespace: Namespace, documents: Documents, tmp_path: Path) -> None:
    made = namespace.create("telemetry", 3)
    changed = namespace.new_key("telemetry", "send")
    namespace.close()
    again = Namespace(tmp_path, documents, taken="hub").get("telemetry")
    assert again is not None
    assert again.log.partitions == 3
    assert again.policies["send"] == changed != made.policies["listen"]


def test_a_key_of_nobody_is_not_exchanged(namespace: Namespace) -> None:
    with pytest.raises(NamespaceError, match="no Event Hub"):
        namespace.new_key("telemetry", "send")
