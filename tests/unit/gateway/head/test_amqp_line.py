from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from edgewire.codec.amqp.message import AmqpMessage, write_message
from edgewire.errors import UsageError
from edgewire.message import identity
from edgewire.session.amqp.events import MessageReceived
from edgewire.transport.pump import Peer
from gateway.head.amqp_line import Line, LinkEnd
from gateway.identity.credentials import Admitted, RefusalReason, Refused
from gateway.observe.identity import LoginRefused
from support.amqp_site import ADDRESS, AmqpSite


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[AmqpSite]:
    async with AmqpSite.open(tmp_path) as site:
        yield site


def line_of(site: AmqpSite) -> Line:
    peer = Peer(address=ADDRESS, port=1)
    return Line(site.amqp.house, site.amqp.accept(peer)[0], peer)


async def test_there_is_no_pump_before_the_transport_is_ready(site: AmqpSite) -> None:
    line = line_of(site)
    with pytest.raises(UsageError):
        line.pump.close()
    line.closed = True
    line.flush()


async def test_who_is_let_in_is_decided_by_what_was_shown(site: AmqpSite) -> None:
    line = line_of(site)
    assert line.judge(identity("d1")) == Refused(RefusalReason.NO_CREDENTIALS)
    line.credentials.put((identity("d1"),), site.sas("d1"))
    verdict = line.judge(identity("d1"))
    assert isinstance(verdict, Admitted)
    assert verdict.identity == identity("d1")
    assert site.events[-1] == LoginRefused("d1", ADDRESS, RefusalReason.NO_CREDENTIALS)


async def test_a_link_on_which_nothing_comes_is_granted_and_stays_silent(site: AmqpSite) -> None:
    client, session = site.by_token("d1")
    link = client.receiver(session, "/devices/d1/methods/devicebound")
    assert link.attached
    client.engine.drain(link)
    client.transfer()
    assert link.credit == 0
    [ours] = [each for each in client.session.sessions[0].links if each.name == link.name]
    end = ours.owner
    assert isinstance(end, LinkEnd)
    assert end.whose == identity("d1")
    with pytest.raises(UsageError, match="delivery 5"):
        end.on_message(MessageReceived(ours, 5, 0, write_message(AmqpMessage(body=b"")), False, b""))
