"""Who subscribes what: a tree of levels, in which a topic's subscribers are found without asking each filter."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from gateway.broker.topics import ONE_LEVEL, REST, is_system

K = TypeVar("K")
V = TypeVar("V")


class _Node(Generic[K, V]):
    """One level of some filters: what follows it, and who subscribes the filter that ends here."""

    __slots__ = ("below", "here")

    def __init__(self) -> None:
        self.below: dict[str, _Node[K, V]] = {}
        self.here: dict[K, V] = {}


class SubscriptionTree(Generic[K, V]):
    """Filters of keys, each with a value. A look-up visits the nodes that can match and no others."""

    def __init__(self) -> None:
        self._root: _Node[K, V] = _Node()
        self._count = 0
        self._levels = 0

    def __len__(self) -> int:
        """How many filters there are, of all keys."""
        return self._count

    @property
    def levels(self) -> int:
        """Nodes that they take: filters that begin alike share those of their beginning."""
        return self._levels

    def add(self, topic_filter: str, key: K, value: V) -> None:
        """Note that `key` subscribes a filter; one that it has already gets the new value."""
        node = self._root
        for level in topic_filter.split("/"):
            below = node.below.get(level)
            if below is None:
                below = node.below[level] = _Node()
                self._levels += 1
            node = below
        self._count += key not in node.here
        node.here[key] = value

    def remove(self, topic_filter: str, key: K) -> None:
        """Forget it, and the levels that nobody needs any more; it need not be there."""
        path: list[tuple[_Node[K, V], str]] = []
        node = self._root
        for level in topic_filter.split("/"):
            below = node.below.get(level)
            if below is None:
                return
            path.append((node, level))
            node = below
        self._count -= node.here.pop(key, None) is not None
        for above, level in reversed(path):
            below = above.below[level]
            if below.here or below.below:
                return
            del above.below[level]
            self._levels -= 1

    def match(self, topic: str) -> Iterator[tuple[K, V]]:
        """Each filter that matches, by its key and value; a key once per filter of its own."""
        levels = topic.split("/")
        nodes = [self._root]
        for number, level in enumerate(levels):
            wild = number > 0 or not is_system(topic)  # MQTT311-4.7.2-1
            following: list[_Node[K, V]] = []
            for node in nodes:
                if wild:
                    if (rest := node.below.get(REST)) is not None:
                        yield from rest.here.items()
                    if (one := node.below.get(ONE_LEVEL)) is not None:
                        following.append(one)
                if (same := node.below.get(level)) is not None:
                    following.append(same)
            nodes = following
            if not nodes:
                return
        for node in nodes:
            yield from node.here.items()
            if (rest := node.below.get(REST)) is not None:  # `a/#` matches `a` too (§4.7.1.2)
                yield from rest.here.items()
