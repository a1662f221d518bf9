from typing import Any

import pytest

from edgewire.message import UPSTREAM, Delivery
from gateway.app.document import Reading, read_settings
from gateway.dispatch.filters import Filter, Lessened
from gateway.sending.how import Aggregate, Batch, Form, How, Items, Measure, Per, how_of

ROUTE = "FROM /messages/* INTO $upstream"
VALUES = {"t": "$body.t"}


def reading(send: Any, **route: Any) -> Reading:
    return read_settings({"routes": {"r": {"route": ROUTE, "send": send, **route}}})


def said(send: Any, **route: Any) -> list[str]:
    return [
        f"{problem.path.removeprefix('routes.r.')}: {problem.message}; {problem.fix}"
        for problem in reading(send, **route).problems
    ]


def taken(send: Any, **route: Any) -> Lessened:
    found = reading(send, **route)
    assert found.settings is not None, found.problems
    return found.settings.sending["r"]


def rule(send: Any) -> Filter:
    found = taken(send).filter
    assert found is not None
    return found


def making(send: Any) -> Batch | Aggregate:
    stage = taken(send).stage
    assert stage is not None
    how = how_of(stage)
    assert isinstance(how, How)
    return how.making


def test_what_the_design_writes_is_taken() -> None:
    found = rule({"onChangeOf": "$body.temperature", "deadBand": 0.5, "atLeastEverySecs": 600, "atMostEverySecs": 10})
    assert found.on_change_of is not None
    assert (found.dead_band, found.at_least_every_s, found.at_most_every_s) == (0.5, 600, 10)


def test_each_filter() -> None:
    assert rule({"onChangeOf": "$body.t + 1", "deadBand": {"percent": 2}}).dead_band_percent == 2
    assert rule({"sample": {"everyNth": 10}}) == Filter(every_nth=10)
    assert rule({"sample": {"share": 0.5}, "atLeastEverySecs": 0.5}) == Filter(share=0.5, at_least_every_s=0.5)
    assert rule({"atMostEverySecs": 5, "sample": None}) == Filter(at_most_every_s=5)


def test_batches_and_aggregates() -> None:
    assert making({"batch": {}}) == Batch()
    given = {
        "maxMessages": 10,
        "maxBytes": 4000,
        "maxAgeSecs": 5,
        "format": "ndjson",
        "items": "bodies",
        "per": "route",
    }
    assert making({"batch": given}) == Batch(
        max_messages=10, max_bytes=4000, max_age_s=5, form=Form.NDJSON, items=Items.BODIES, per=Per.ROUTE
    )
    assert making({"aggregate": {"windowSecs": 60, "values": VALUES}}) == Aggregate(window_s=60, values=VALUES)
    some = {"windowSecs": 60, "values": VALUES, "measures": ["last", "max"]}
    assert making({"aggregate": some}) == Aggregate(window_s=60, values=VALUES, measures=(Measure.MAX, Measure.LAST))


def test_a_filter_and_a_batch_go_together() -> None:
    found = taken({"onChangeOf": "$body.t", "batch": {"maxAgeSecs": 30}}, priority=2)
    assert found.filter is not None
    assert found.stage is not None
    assert found.delivery == Delivery(found.stage, 2, 7200)
    how = how_of(found.stage)
    assert how is not None
    assert how.delivery == Delivery(UPSTREAM, 2, 7200)


def test_without_send_nothing_is_kept_of_it() -> None:
    for send in (None,):
        found = reading(send)
        assert found.settings is not None
        assert found.settings.sending == {}


REFUSALS: list[tuple[Any, str]] = [
    (5, 'send: this must be an object; write {"onChangeOf": "$body.temperature", "deadBand": 0.5}'),
    ({}, "send: it says nothing"),
    ({"onChange": "$body.t"}, "send.onChange: there is no 'onChange'; did you mean 'onChangeOf'?"),
    ({"atMostEvery": 5}, "send.atMostEvery: there is no 'atMostEvery'; did you mean 'atMostEverySecs'?"),
    ({"throttle": 5}, "send.throttle: there is no 'throttle'; known here: onChangeOf, deadBand"),
    ({"onChangeOf": 5}, 'send.onChangeOf: an expression is text; write "$body.temperature"'),
    ({"onChangeOf": ""}, "send.onChangeOf: column 1 of '': the expression is empty; write $body.temperature"),
    ({"onChangeOf": "$body.t >"}, "send.onChangeOf: column 10 of '$body.t >': the condition ends"),
    ({"onChangeOf": "lenght(a)"}, "send.onChangeOf: column 1 of 'lenght(a)': unknown function 'lenght'"),
    ({"onChangeOf": "a INTO $upstream"}, "send.onChangeOf: column 3 of 'a INTO $upstream': 'INTO' belongs to a route"),
    ({"onChangeOf": "a b"}, "send.onChangeOf: column 3 of 'a b': an operator"),
    ({"onChangeOf": "'a'"}, "send.onChangeOf: ''a'' is the same for every message"),
    ({"deadBand": 1, "atMostEverySecs": 5}, 'send.deadBand: of which value?; name it: "onChangeOf"'),
    ({"onChangeOf": "$body.a", "deadBand": "2%"}, "send.deadBand: '2%' is text; write a difference: 0.5"),
    ({"onChangeOf": "$body.a", "deadBand": -1}, "send.deadBand: -1 is not possible"),
    ({"onChangeOf": "$body.a", "deadBand": True}, "send.deadBand: True is not possible"),
    ({"onChangeOf": "$body.a", "deadBand": {}}, 'send.deadBand: it has no percent; write {"percent": 2}'),
    ({"onChangeOf": "$body.a", "deadBand": {"percent": 200}}, "send.deadBand.percent: 200 is not possible"),
    ({"atMostEverySecs": "10"}, "send.atMostEverySecs: '10' is text; write seconds, above 0"),
    ({"atMostEverySecs": 0}, "send.atMostEverySecs: 0 seconds would mean nothing"),
    ({"atMostEverySecs": 604_801}, "send.atMostEverySecs: 604801 is not possible"),
    ({"atLeastEverySecs": 60}, "send.atLeastEverySecs: alone it holds nothing back"),
    (
        {"atLeastEverySecs": 10, "atMostEverySecs": 60},
        "send.atMostEverySecs: at least every 10 s and at most every 60 s contradict each other; make atMostEverySecs",
    ),
    (
        {"onChangeOf": "level", "deadBand": 1},
        "send.onChangeOf: a dead band is of numbers, and 'level' is text; write \"as_number(level)\"",
    ),
    (
        {"aggregate": {"windowSecs": 60, "values": {"t": "level"}}},
        "send.aggregate.values.t: an aggregate is of numbers, and 'level' is text; write \"as_number(level)\"",
    ),
    (
        {"aggregate": {"windowSecs": 60, "values": {"t": "$body.t > 5"}}},
        "send.aggregate.values.t: an aggregate is of numbers, and '$body.t > 5' is bool; write",
    ),
    ({"sample": 10}, 'send.sample: it says either everyNth or share; write {"everyNth": 10}'),
    ({"sample": {"everyNth": 2, "share": 0.5}}, "send.sample: it says either everyNth or share"),
    ({"sample": {"everyNth": 1}}, "send.sample.everyNth: 1 is not possible; write a whole number from 2"),
    ({"sample": {"everyNth": 2.5}}, "send.sample.everyNth: 2.5 is no whole number; write 2"),
    ({"sample": {"share": 0}}, "send.sample.share: 0 is none of them"),
    ({"sample": {"share": 1}}, "send.sample.share: 1 is all of them"),
    ({"sample": {"everyNth": 2}, "onChangeOf": "a"}, "send.sample: a sample of changes would lose changes"),
    ({"batch": 10}, 'send.batch: this must be an object; write {"maxMessages": 100, "maxAgeSecs": 60}'),
    ({"batch": {"maxSize": 5}}, "send.batch.maxSize: there is no 'maxSize'"),
    ({"batch": {"maxMessages": 1}}, "send.batch.maxMessages: 1 is not possible; write a whole number from 2 to 1000"),
    ({"batch": {"maxBytes": 262_144}}, "send.batch.maxBytes: 262144 is not possible; write a whole number from 1"),
    ({"batch": {"maxAgeSecs": 7200}}, "send.batch.maxAgeSecs: 7200 is not possible"),
    ({"batch": {"format": "jsonl"}}, "send.batch.format: there is no 'jsonl'; did you mean 'json'?"),
    ({"batch": {"per": "site"}}, "send.batch.per: there is no 'site'; known here: device, route"),
    ({"aggregate": 60}, "send.aggregate: this must be an object"),
    ({"aggregate": {"values": VALUES}}, 'send.aggregate.windowSecs: it is missing; write "windowSecs": 60'),
    (
        {"aggregate": {"windowSecs": None, "values": VALUES}},
        'send.aggregate.windowSecs: it is missing; write "windowSecs": 60',
    ),
    ({"aggregate": {"windowSecs": 0.5, "values": VALUES}}, "send.aggregate.windowSecs: 0.5 is not possible"),
    ({"aggregate": {"windowSecs": 60}}, "send.aggregate.values: this must be an object with 1 to 16 values"),
    ({"aggregate": {"windowSecs": 60, "values": {"": "a"}}}, "send.aggregate.values: the name of a value has 1 to 64"),
    ({"aggregate": {"windowSecs": 60, "values": {"t": "a +"}}}, "send.aggregate.values.t: column 4 of 'a +'"),
    (
        {"aggregate": {"windowSecs": 60, "values": VALUES, "measures": []}},
        "send.aggregate.measures: this must be a list",
    ),
    (
        {"aggregate": {"windowSecs": 60, "values": VALUES, "measures": ["avg"]}},
        "send.aggregate.measures: there is no 'avg'; known here: count, min, max, mean, sum, last",
    ),
    (
        {"aggregate": {"windowSecs": 60, "values": VALUES}, "batch": {}},
        "send.batch: an aggregate is of all messages, and is one itself; 'batch' does not go with it",
    ),
    (
        {"aggregate": {"windowSecs": 60, "values": VALUES}, "atMostEverySecs": 5},
        "send.atMostEverySecs: an aggregate is of all messages",
    ),
]


@pytest.mark.parametrize(("send", "sentence"), REFUSALS, ids=lambda value: str(value)[:60])
def test_a_refusal_says_where_what_and_what_to_write(send: Any, sentence: str) -> None:
    problems = said(send)
    assert any(problem.startswith(sentence) for problem in problems), problems
    assert all(problem.partition("; ")[2] for problem in problems), "each says what to write"


@pytest.mark.parametrize(
    ("send", "key"),
    [
        ({"batch": {}}, "batch.maxAgeSecs"),
        ({"aggregate": {"windowSecs": 60, "values": VALUES}}, "aggregate.windowSecs"),
    ],
)
def test_what_would_expire_before_it_is_made_is_refused(send: Any, key: str) -> None:
    (problem,) = said(send, timeToLiveSecs=60)
    assert problem.startswith(f"send.{key}: messages wait here for up to 60 s, and the route keeps them for 60 s")
    assert said(send, timeToLiveSecs=61) == []


def test_a_route_that_is_wrong_itself_does_not_hide_what_is_wrong_with_its_send() -> None:
    found = read_settings({"routes": {"r": {"route": "FROM nowhere", "send": {"batch": {"per": "site"}}}}})
    assert {problem.path for problem in found.problems} == {"routes.r", "routes.r.send.batch.per"}


def test_edge_hub_has_no_send() -> None:
    content = {
        "$edgeHub": {
            "properties.desired": {
                "schemaVersion": "1.1",
                "routes": {"r": {"route": ROUTE, "send": {"atMostEverySecs": 5}}},
                "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
            }
        }
    }
    (problem,) = read_settings({"modulesContent": content}).problems
    assert problem.message == "$edgeHub has no 'send': it sends every match"


def test_a_change_that_may_expire_unsent_is_warned_of() -> None:
    (warning,) = reading({"onChangeOf": "$body.t"}).warnings
    assert warning.path == "routes.r.send"
    assert warning.message.startswith("a value that waits 7200 s for its endpoint expires, and is not sent again")
    assert warning.fix == 'add "atLeastEverySecs": 3600'
    assert reading({"onChangeOf": "$body.t", "atLeastEverySecs": 60}).warnings == ()
    assert reading({"sample": {"everyNth": 2}}).warnings == ()
    forever = {"storeAndForward": {"timeToLiveSecs": -1}}
    found = read_settings({"routes": {"r": {"route": ROUTE, "send": {"onChangeOf": "$body.t"}}}, **forever})
    assert (found.problems, found.warnings) == ((), ())
