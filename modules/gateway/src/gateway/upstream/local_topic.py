"""`INTO Topic("…")`: what a route sends to a topic of the gateway's own broker."""

import asyncio
from collections.abc import Callable

from edgewire.message import Endpoint, Outcome
from gateway.broker.broker import LocalBroker
from gateway.broker.messages import Extras, LocalMessage
from gateway.broker.template import TemplateError, TopicTemplate, UnfilledError
from gateway.upstream.proxy import Entry, LinkState, LinkStatus, MessageProxy, Sent, Window


class LocalTopic(MessageProxy):
    """Publishes locally; a message is accepted when the broker has given it to who subscribes.

    What comes from a route is not mapped again, so a topic that a rule maps does not make a loop.
    """

    def __init__(self, broker: LocalBroker, endpoint: Endpoint, clock: Callable[[], float]) -> None:
        self._broker = broker
        self._clock = clock
        self._since_at = clock()
        self._last_at: float | None = None
        self._problem = ""
        self._template: TopicTemplate | None = None
        try:
            self._template = TopicTemplate(endpoint.name or "")
        except TemplateError as error:  # settings were checked; a backlog may be of an older version's
            self._problem = str(error)

    async def run(self) -> None:
        """There is no link to keep."""
        await asyncio.Event().wait()

    async def connected(self) -> None:
        """It always is."""

    def send(self, entry: Entry, _endpoint: Endpoint) -> asyncio.Future[Sent]:
        """Publish, at once."""
        sent: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()
        sent.set_result(self._publish(entry))
        return sent

    def status(self) -> LinkStatus:
        """It is there."""
        return LinkStatus(
            state=LinkState.CONNECTED,
            reason="",
            since_at=self._since_at,
            last_success_at=self._last_at,
            in_flight=0,
        )

    def window(self) -> Window:
        """As much as fits one turn of the loop."""
        return Window()

    def on_wider(self, call: Callable[[], None]) -> None:
        """It never changes."""

    def _publish(self, entry: Entry) -> Sent:
        if self._template is None:
            return Sent(Outcome.REJECTED, self._problem)
        envelope = entry.message.envelope
        try:
            topic = self._template.fill(envelope)
        except UnfilledError as error:
            return Sent(Outcome.REJECTED, str(error))
        pairs = tuple((name, value) for name, value in envelope.properties.items() if value is not None)
        extras = Extras(content_type=envelope.system.get("contentType"), user_properties=pairs)
        self._broker.publish(LocalMessage(topic=topic, payload=entry.message.body, qos=1, extras=extras))
        self._last_at = self._clock()
        return Sent(Outcome.ACCEPTED)
