from hypothesis import given
from hypothesis import strategies as st

from gateway.broker.topics import matches
from gateway.broker.tree import SubscriptionTree

LEVELS = st.sampled_from(["a", "b", "", "$s"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)
FILTERS = st.tuples(st.lists(st.one_of(LEVELS, st.just("+")), min_size=1, max_size=4), st.sampled_from(["", "/#"])).map(
    lambda parts: "/".join(parts[0]) + parts[1]
)


@given(st.lists(st.tuples(FILTERS, st.integers(0, 3)), max_size=12), st.lists(st.integers(0, 11), max_size=6), TOPICS)
def test_it_finds_what_asking_each_filter_finds(added: list[tuple[str, int]], removed: list[int], topic: str) -> None:
    tree: SubscriptionTree[int, str] = SubscriptionTree()
    model: dict[tuple[str, int], str] = {}
    for topic_filter, key in added:
        tree.add(topic_filter, key, topic_filter)
        model[topic_filter, key] = topic_filter
    for number in removed:
        if number < len(added):
            tree.remove(*added[number])
            model.pop(added[number], None)
    wanted = sorted((key, value) for (topic_filter, key), value in model.items() if matches(topic_filter, topic))
    assert sorted(tree.match(topic)) == wanted
    assert len(tree) == len(model)
    levels = [topic_filter.split("/") for topic_filter, _ in model]
    assert tree.levels == len({tuple(each[: depth + 1]) for each in levels for depth in range(len(each))})


def test_levels_that_nobody_needs_are_forgotten() -> None:
    tree: SubscriptionTree[str, int] = SubscriptionTree()
    tree.add("a/b/c", "x", 1)
    tree.add("a/#", "x", 2)
    tree.remove("a/b/c", "x")
    assert list(tree._root.below["a"].below) == ["#"]
    tree.remove("a/#", "x")
    tree.remove("never/there", "x")
    assert tree._root.below == {}


def test_a_filter_that_is_there_gets_the_new_value() -> None:
    tree: SubscriptionTree[str, int] = SubscriptionTree()
    tree.add("a", "x", 1)
    tree.add("a", "x", 2)
    assert list(tree.match("a")) == [("x", 2)]
    assert len(tree) == 1
