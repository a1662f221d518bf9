"""The local broker: who subscribes what, what is retained, who is away and for how long."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum
from itertools import islice

from gateway.broker.disk import BrokerDisk, StoredSession
from gateway.broker.limits import BrokerLimits
from gateway.broker.messages import MAX_QOS, LocalMessage, Parcel, Subscription
from gateway.broker.retained import RetainedMessages
from gateway.broker.sessions import LocalSession, Outlet, Owner, RetainedLook, Waiting
from gateway.broker.tree import SubscriptionTree
from gateway.observe.broker import (
    DroppedLocal,
    LocalMessagesDelivered,
    LocalMessagesDropped,
    LocalMessagesPublished,
    LocalSessionsForgotten,
    RetainedNotKept,
)
from gateway.observe.events import Event

Targets = tuple[tuple[LocalSession, tuple[Subscription, ...]], ...]
"""Who gets a message on some topic, each with its subscriptions that match."""


class Grant(Enum):
    """What became of a filter."""

    GRANTED = "granted"
    TOO_MANY = "too many"
    TOO_DEEP = "too deep"


class LocalBroker:
    """Publishes to subscribers. Not for threads.

    clock: seconds since 1970. later: calls something in a later turn of the event loop.
    """

    def __init__(
        self,
        disk: BrokerDisk,
        *,
        emit: Callable[[Event], None],
        clock: Callable[[], float],
        later: Callable[[Callable[[], None]], object],
        limits: BrokerLimits | None = None,
    ) -> None:
        self._disk = disk
        self._emit = emit
        self._clock = clock
        self._later = later
        self._limits = limits = limits or BrokerLimits()
        self._tree: SubscriptionTree[LocalSession, Subscription] = SubscriptionTree()
        self._sessions: dict[Owner, LocalSession] = {}
        self._away: dict[Owner, LocalSession] = {}
        """Those whose clients are away, the one that has been away for longest first."""
        self._retained = RetainedMessages(limits)
        self._waiting = Waiting()
        self._matches: dict[str, Targets] = {}
        self._matches_held = 0
        self._published = 0
        self._delivered = 0
        self._dropped: dict[DroppedLocal, int] = {}
        self._restore()

    # What is there.

    @property
    def retained(self) -> int:
        """Topics with a retained message."""
        return len(self._retained)

    @property
    def sessions(self) -> int:
        """Clients that are here, or away and remembered."""
        return len(self._sessions)

    @property
    def subscriptions(self) -> int:
        """Filters of all clients."""
        return len(self._tree)

    @property
    def waiting_bytes(self) -> int:
        """What waits for clients that are away or slow."""
        return self._waiting.bytes

    # Clients come and go.

    def enter(
        self, owner: Owner, outlet: Outlet, *, clean: bool, expiry_s: float | None, bridge: bool
    ) -> tuple[LocalSession, bool]:
        """A client is here. Returns its session, and whether it was there before.

        clean: what was there before is forgotten. expiry_s: how long it is remembered when it goes. bridge: what it
        publishes is never sent back to it, and RETAIN is handed on as it is.
        """
        now = self._clock()
        session = self._sessions.get(owner)
        if session is not None and (clean or self._is_over(session, now)):
            self._forget(session)
            session = None
        present = session is not None
        if session is None:
            session = self._sessions[owner] = self._new_session(owner)
        session.expiry_s = None if expiry_s is None else min(expiry_s, self._limits.max_session_s)
        session.is_bridge = bridge
        session.attach(outlet)
        self._away.pop(owner, None)
        if session.expiry_s != 0:
            self._save(session, None)
        return session, present

    def leave(self, session: LocalSession) -> None:
        """The client is gone; its session stays as long as it asked for."""
        if not session.is_here:
            return
        session.detach()
        if session.expiry_s == 0:
            self._forget(session)
            return
        self._away[session.owner] = session
        self._save(session, None)
        self._bound_sessions()

    def forget_user(self, user: str) -> None:
        """A user was removed: nothing waits for it any more."""
        for session in [each for each in self._sessions.values() if each.owner[0] == user]:
            self._forget(session)

    def keep_only(self, session: LocalSession, is_allowed: Callable[[str], bool]) -> None:
        """Drop filters that the client may not have any more: its rules may have changed while it was away."""
        for each in [each for each in session.filters if not is_allowed(each)]:
            self._drop_filter(session, each)

    # Subscriptions.

    def subscribe(
        self,
        session: LocalSession,
        wanted: Sequence[tuple[str, Subscription]],
        answer: Callable[[list[Grant]], None],
    ) -> None:
        """Subscribe filters; `answer` hears what became of each when the disk has what is to be remembered.

        Retained messages follow the answer, a few in each turn of the loop.
        """
        granted = []
        looks = []
        for topic_filter, how in wanted:
            is_new = topic_filter not in session.filters
            grant = self._may_have(session, topic_filter, is_new=is_new)
            granted.append(grant)
            if grant is Grant.GRANTED:
                subscription = _as_of(session, how)
                session.filters[topic_filter] = subscription
                self._tree.add(topic_filter, session, subscription)
                if how.retain_handling == 0 or (how.retain_handling == 1 and is_new):
                    looks.append((topic_filter, subscription))
        self._forget_matches()
        last = self._retained.last

        def answered() -> None:
            answer(granted)
            if looks and last and session.is_here:
                for each, subscription in looks:
                    session.looks[each] = RetainedLook(filter=each, subscription=subscription, after=0, until=last)
                self.drain(session)

        self._answer_when_saved(session, answered)

    def unsubscribe(self, session: LocalSession, filters: Sequence[str], answer: Callable[[list[bool]], None]) -> None:
        """Drop filters; `answer` hears of each whether it was there, when the disk knows."""
        were_there = [self._drop_filter(session, each) for each in filters]
        self._answer_when_saved(session, lambda: answer(were_there))

    def _may_have(self, session: LocalSession, topic_filter: str, *, is_new: bool) -> Grant:
        if topic_filter.count("/") >= self._limits.max_levels:
            return Grant.TOO_DEEP
        return Grant.TOO_MANY if is_new and self._is_full(session, topic_filter) else Grant.GRANTED

    def _is_full(self, session: LocalSession, topic_filter: str) -> bool:
        limits, tree = self._limits, self._tree
        if len(session.filters) >= limits.max_subscriptions or len(tree) >= limits.max_all_subscriptions:
            return True
        return tree.levels + topic_filter.count("/") >= limits.max_all_levels

    def _drop_filter(self, session: LocalSession, topic_filter: str) -> bool:
        if session.filters.pop(topic_filter, None) is None:
            return False
        session.looks.pop(topic_filter, None)
        self._tree.remove(topic_filter, session)
        self._forget_matches()
        return True

    # Messages.

    def publish(
        self, message: LocalMessage, origin: LocalSession | None = None, saved: Callable[[], None] | None = None
    ) -> bool:
        """Give a message to all who subscribe its topic, and retain it if it says so.

        origin: the client that it is from, None for one of ours. saved: called when the disk has what is retained of
        it. Returns whether `saved` is going to be called: not if nothing of it is kept on disk.
        """
        self._published += 1
        for session, subscriptions in self._targets(message.topic):
            wanted = subscriptions
            if session is origin:
                wanted = tuple(each for each in subscriptions if not each.no_local)
            if wanted:
                session.offer(_parcel(message, wanted))
                self._delivered += 1
        return message.retain and self._retain(message, saved)

    def acknowledged(self, session: LocalSession, packet_id: int) -> None:
        """A client has a message; there is room for the next."""
        session.acknowledged(packet_id)
        self.drain(session)

    def drain(self, session: LocalSession) -> None:
        """Send what waits for a client, then the retained messages that it has yet to be given."""
        if session.drain() and session.looks:
            self._look(session)

    def _look(self, session: LocalSession) -> None:
        """Some retained messages for a client that has sent all else; the rest later."""
        look = next(iter(session.looks.values()))
        found, after = self._retained.look(look.filter, look.after, look.until)
        if after is None:
            del session.looks[look.filter]
        else:
            look.after = after
        for message in found:
            identifier = look.subscription.identifier
            identifiers = () if identifier is None else (identifier,)
            session.offer(Parcel(message, min(message.qos, look.subscription.qos), True, identifiers))
            self._delivered += 1
        if session.looks:
            self._later(lambda: self.drain(session))

    def _targets(self, topic: str) -> Targets:
        known = self._matches.get(topic)
        if known is not None:
            return known
        found: dict[LocalSession, list[Subscription]] = {}
        for session, subscription in self._tree.match(topic):
            found.setdefault(session, []).append(subscription)
        targets = tuple((session, tuple(subscriptions)) for session, subscriptions in found.items())
        if len(topic) <= self._limits.max_known_topic_chars:
            self._remember(topic, targets)
        return targets

    def _remember(self, topic: str, targets: Targets) -> None:
        self._matches_held += 1 + sum(len(subscriptions) for _, subscriptions in targets)
        if self._matches_held > self._limits.max_known_matches:
            self._forget_matches()
        else:
            self._matches[topic] = targets

    def _forget_matches(self) -> None:
        self._matches.clear()
        self._matches_held = 0

    def _retain(self, message: LocalMessage, saved: Callable[[], None] | None) -> bool:
        if not message.payload:
            if self._retained.drop(message.topic):
                self._disk.save_retained(message.topic, None, saved)
                return True
            return False
        if not self._retained.keep(message):
            self._emit(RetainedNotKept(message.topic, len(self._retained), self._retained.size))
            return False
        self._disk.save_retained(message.topic, message, saved)
        return True

    # Keeping house.

    def report(self) -> None:
        """Tell what was counted since the last call."""
        published, self._published = self._published, 0
        delivered, self._delivered = self._delivered, 0
        dropped, self._dropped = self._dropped, {}
        if published:
            self._emit(LocalMessagesPublished(published))
        if delivered:
            self._emit(LocalMessagesDelivered(delivered))
        for reason, count in dropped.items():
            self._emit(LocalMessagesDropped(reason, count))

    def sweep(self) -> None:
        """Forget sessions and retained messages whose time is over."""
        now = self._clock()
        for session in [each for each in self._away.values() if self._is_over(each, now)]:
            self._forget(session)
        for topic in self._retained.expired(now):
            self._retained.drop(topic)
            self._disk.save_retained(topic, None, None)

    def close(self) -> None:
        """The gateway stops: what waits for clients is written."""
        self._disk.close(
            (session.owner, message)
            for session in self._sessions.values()
            if session.expiry_s != 0
            for message in session.unsettled
        )

    def _restore(self) -> None:
        """What was on disk at the start."""
        found = self._disk.found
        now = self._clock()
        for message in found.retained:
            self._retained.keep(message)
        for owner, stored in found.sessions.items():
            session = self._sessions[owner] = self._away[owner] = self._new_session(owner)
            session.expiry_s = None if stored.expires_at is None else max(0.0, stored.expires_at - now)
            session.away_at = now
            for topic_filter, how in stored.filters.items():
                session.filters[topic_filter] = how
                self._tree.add(topic_filter, session, how)
        for owner, message in found.queued:
            if owner in self._sessions:
                self._sessions[owner].restore(message)
        self._bound_sessions()

    def _new_session(self, owner: Owner) -> LocalSession:
        return LocalSession(
            owner, limits=self._limits, waiting=self._waiting, dropped=self._count_dropped, clock=self._clock
        )

    def _count_dropped(self, reason: DroppedLocal) -> None:
        self._dropped[reason] = self._dropped.get(reason, 0) + 1

    def _is_over(self, session: LocalSession, now: float) -> bool:
        if session.is_here or session.away_at is None:
            return False
        longest_s = self._limits.max_session_s if session.expiry_s is None else session.expiry_s
        return now >= session.away_at + longest_s

    def _bound_sessions(self) -> None:
        surplus = len(self._away) - self._limits.max_sessions
        if surplus > 0:
            for session in list(islice(self._away.values(), surplus)):
                self._forget(session)
            self._emit(LocalSessionsForgotten(surplus))

    def _forget(self, session: LocalSession) -> None:
        session.end()
        for topic_filter in list(session.filters):
            self._drop_filter(session, topic_filter)
        self._sessions.pop(session.owner, None)
        self._away.pop(session.owner, None)
        if session.expiry_s != 0:
            self._disk.save_session(session.owner, None, None)

    def _answer_when_saved(self, session: LocalSession, answer: Callable[[], None]) -> None:
        if session.expiry_s == 0:
            answer()
        else:
            self._save(session, answer)

    def _save(self, session: LocalSession, saved: Callable[[], None] | None) -> None:
        expires_at = None if session.expiry_s is None else self._clock() + session.expiry_s
        self._disk.save_session(session.owner, StoredSession(dict(session.filters), expires_at), saved)


def _as_of(session: LocalSession, how: Subscription) -> Subscription:
    """What a bridge publishes never comes back to it, and RETAIN is handed on to it as it is, as mosquitto does."""
    granted = replace(how, qos=min(how.qos, MAX_QOS))
    return replace(granted, no_local=True, retain_as_published=True) if session.is_bridge else granted


def _parcel(message: LocalMessage, wanted: tuple[Subscription, ...]) -> Parcel:
    """One message for all subscriptions of one client that match, with the highest quality (MQTT311-3.3.5-1)."""
    if len(wanted) == 1:
        (one,) = wanted
        identifiers = () if one.identifier is None else (one.identifier,)
        return Parcel(message, min(message.qos, one.qos), message.retain and one.retain_as_published, identifiers)
    return Parcel(
        message,
        min(message.qos, max(each.qos for each in wanted)),
        message.retain and any(each.retain_as_published for each in wanted),
        tuple(each.identifier for each in wanted if each.identifier is not None),
    )
