import json
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from edgewire.message import identity
from gateway.sending.batch import Batcher
from gateway.sending.how import MAX_BATCH_BYTES, Batch, Form, Items, Per
from gateway.sending.made import Made
from support.staged import GATEWAY, NOON_MS, entries, entry, read, told

BODIES = Batch(max_messages=3, max_bytes=100, items=Items.BODIES)


def batcher(batch: Batch = BODIES) -> Batcher:
    return Batcher("r", batch, GATEWAY)


def fed(own: Batcher, *values: object, sender: str = "d1", first: int = 1) -> list[Made]:
    return [made for each in entries(values, sender=sender, first=first) for made in own.add(each)]


def test_a_batch_goes_with_its_last_message_as_its_sender() -> None:
    (made,) = fed(batcher(), 1, 2, 3)
    assert read(made.message) == [1, 2, 3]
    assert made.message.envelope.sender == identity("d1")
    assert made.message.envelope.system["contentType"] == "application/json"
    assert made.message.envelope.system["messageId"] == "s-1:4ea9c1da:3:3"
    assert made.message.envelope.properties == {"sendKind": "batch", "sendRoute": "r", "sendCount": "3"}
    assert [each.sequence for each in made.entries] == [1, 2, 3]


def test_a_batch_goes_before_it_is_too_large() -> None:
    own = batcher(Batch(max_messages=10, max_bytes=50, items=Items.BODIES))
    (made,) = fed(own, "a" * 20, "b" * 20, "c" * 20)
    assert len(made.message.body) <= 50
    assert [read(each.message) for each in own.flush()] == [["c" * 20]]
    assert own.flush() == []


def test_senders_have_batches_of_their_own_or_one_that_goes_as_the_gateway() -> None:
    own = batcher()
    fed(own, 1)
    fed(own, 2, sender="d2", first=2)
    waits_since = own.oldest_ms
    assert [each.message.envelope.sender for each in own.flush()] == [identity("d1"), identity("d2")]
    assert (waits_since, own.oldest_ms) == (NOON_MS, None)
    together = batcher(Batch(max_messages=2, per=Per.ROUTE))
    fed(together, 1)
    (made,) = fed(together, 2, sender="d2", first=2)
    assert made.message.envelope.sender == GATEWAY
    assert [each["deviceId"] for each in read(made.message)] == ["d1", "d2"]


def test_a_line_for_each_message() -> None:
    (made,) = fed(batcher(Batch(max_messages=2, form=Form.NDJSON, items=Items.BODIES)), {"a": 1}, "x")
    assert made.message.body == b'{"a":1}\n"x"\n'
    assert made.message.envelope.system["contentType"] == "application/x-ndjson"


def test_what_is_larger_than_the_limit_goes_alone_and_in_order() -> None:
    own = batcher()
    first, second = fed(own, 1, "x" * 500)
    assert (read(first.message), read(second.message)) == ([1], ["x" * 500])


def test_what_no_batch_can_hold_goes_as_it_is_and_in_order() -> None:
    own = batcher()
    assert fed(own, 1) == []
    huge = entry(told("x" * MAX_BATCH_BYTES), 2)
    before, alone = own.add(huge)
    assert read(before.message) == [1]
    assert alone.message.body == huge.message.body
    (alone,) = own.add(huge)
    assert alone.entries == (huge,)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.text(max_size=40), st.booleans()), max_size=60),
    st.sampled_from(Per),
    st.sampled_from(Form),
)
def test_every_message_is_in_one_batch_in_order_and_no_batch_is_over_its_limits(
    given_messages: list[tuple[str, str, bool]], per: Per, form: Form
) -> None:
    own = batcher(Batch(max_messages=4, max_bytes=90, items=Items.BODIES, per=per, form=form))
    made: list[Made] = []
    sent: dict[str, list[str]] = defaultdict(list)
    for number, (device, text, flushed) in enumerate(given_messages):
        made += own.add(entry(told(text, device), number))
        sent[device if per is Per.DEVICE else "gateway"].append(text)
        made += own.flush() if flushed else []
    made += own.flush()
    came: dict[str, list[str]] = defaultdict(list)
    for each in made:
        who = each.message.envelope.sender
        body = each.message.body
        found = json.loads(body) if form is Form.JSON else [json.loads(line) for line in body.split(b"\n")[:-1]]
        assert 1 <= len(found) <= 4
        assert len(body) <= 90 or len(found) == 1
        assert len(each.entries) == len(found)
        came[who.module or who.device] += found
    assert came == sent
