import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.topics.template import MAX_TEMPLATE_CHARS, TemplateError, parse_template


@pytest.mark.parametrize(
    ("text", "filled", "names"),
    [
        ("{room}", "lab", {"room"}),
        ("plant-{room}.{kind}", "plant-lab.door", {"room", "kind"}),
        ("{room}{room}", "lablab", {"room"}),
        ("lab", "lab", set()),
        ("", "", set()),
        ("{{room}}", "{room}", set()),
        ("{{{room}}}", "{lab}", {"room"}),
        ("a}}", "a}", set()),
        ("ü {room}", "ü lab", {"room"}),
    ],
)
def test_a_template_is_filled(text: str, filled: str, names: set[str]) -> None:
    template = parse_template(text)
    assert template.fill({"room": "lab", "kind": "door"}) == filled
    assert template.names == names


@pytest.mark.parametrize(
    ("text", "what", "fix"),
    [
        ("{room", "column 1 has no other", "{{ or }}"),
        ("a}", "column 2 has no other", "{{ or }}"),
        ("{}", "'' in column 2 is no name", "write {name}"),
        ("{room.__class__}", "'room.__class__' in column 2 is no name", "write {name}"),
        ("{room[0]}", "'room[0]' in column 2 is no name", "write {name}"),
        ("{room!r}", "is no name", "write {name}"),
        ("{room:>9999999}", "is no name", "write {name}"),
        ("{1}", "is no name", "write {name}"),
        ("a" * (MAX_TEMPLATE_CHARS + 1), "1025 characters", "1024 are the most"),
    ],
)
def test_what_is_no_template_is_told_with_what_to_write(text: str, what: str, fix: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_template(text)
    assert what in str(caught.value)
    assert fix in caught.value.fix


@given(st.text(max_size=30), st.text(max_size=30))
def test_values_are_put_in_as_they_stand(before: str, value: str) -> None:
    text = before.replace("{", "{{").replace("}", "}}") + "{room}"
    assert parse_template(text).fill({"room": value}) == before + value


def told(text: str) -> str | None:
    """Why it is no template and what to write instead; None if it is one."""
    try:
        template = parse_template(text)
    except TemplateError as error:
        return f"{error}: {error.fix}"
    template.fill(dict.fromkeys(template.names, "x"))
    return None


@given(st.text(alphabet="{}ab_!:[].", max_size=12))
def test_any_text_is_a_template_or_is_told_why_not(text: str) -> None:
    said = told(text)
    assert said is None or len(said) > 20
