import pytest

from edgewire.message import UPSTREAM, Delivery, Endpoint, EndpointKind, local_topic, module_input, stage_of
from gateway.sending.how import Aggregate, Batch, Form, How, Items, Measure, Per, how_of, stage_for

EVERY = [
    Batch(),
    Batch(max_messages=2, max_bytes=9, max_age_s=0.5, form=Form.NDJSON, items=Items.BODIES, per=Per.ROUTE),
    Aggregate(window_s=60, values={"half a pair: \ud83d": "$body.t"}),
    Aggregate(window_s=60, values={"t": "$body.t", "a name": "as_number(p)"}, measures=(Measure.MAX, Measure.LAST)),
]


@pytest.mark.parametrize("making", EVERY)
@pytest.mark.parametrize("to", [UPSTREAM, module_input("m", "i"), local_topic("alerts/{device}")])
def test_the_name_of_a_stage_says_what_is_made_there_and_where_it_goes(making: Batch | Aggregate, to: Endpoint) -> None:
    how = How(making=making, delivery=Delivery(to, 5, 60))
    stage = stage_for("climate", how)
    assert (stage.kind, stage.name) == (EndpointKind.STAGE, "climate")
    assert how_of(stage) == how


def test_one_meaning_has_one_text() -> None:
    stage = stage_for("r", How(making=Batch(), delivery=Delivery(UPSTREAM, 0, None)))
    assert stage.input == (
        '{"batch":[500,65536,60.0,"json","messages","device"],"format":1,"priority":0,"timeToLiveSecs":null,'
        '"to":["upstream",null,null]}'
    )


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "{}",
        '{"format":2}',
        '{"format":1,"to":["upstream",null,null],"priority":0,"timeToLiveSecs":null}',
        '{"batch":[1],"format":1,"priority":0,"timeToLiveSecs":null,"to":["upstream",null,null]}',
        '{"batch":[],"format":1,"priority":0,"timeToLiveSecs":null,"to":["moon",null,null]}',
    ],
)
def test_what_another_version_wrote_is_no_stage_of_ours(text: str | None) -> None:
    assert how_of(stage_of("r", text)) is None
