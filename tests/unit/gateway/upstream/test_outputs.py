import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewire.errors import UsageError
from edgewire.message import UPSTREAM, module_input
from gateway.upstream.outputs import output_name, read_output_name

# The characters of ids: iothub_wire.md §8.
ID = st.text("abcXYZ019-.%_*?!(),:=@$'", min_size=1, max_size=20)


def test_upstream_leaves_by_the_output_upstream() -> None:
    assert output_name(UPSTREAM) == "upstream"
    assert read_output_name("upstream") == UPSTREAM


@pytest.mark.parametrize(
    ("module", "input_name", "expected"),
    [
        ("detector", "raw", "detector.raw"),
        ("my-mod_1", "a.b", "my-mod_1.a.b"),
        ("my.mod", "raw", "my%2Emod.raw"),
        ("$edgeHub", "in", "%24edgeHub.in"),
        ("a@b", "c(d)", "a%40b.c%28d%29"),
        ("1", "5", "1.%35"),
        ("50%", "x", "50%25.x"),
    ],
)
def test_an_input_leaves_by_module_dot_input(module: str, input_name: str, expected: str) -> None:
    endpoint = module_input(module, input_name)

    assert output_name(endpoint) == expected
    assert read_output_name(expected) == endpoint


@given(first=st.tuples(ID, ID), second=st.tuples(ID, ID))
def test_two_endpoints_never_share_an_output(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert (output_name(module_input(*first)) == output_name(module_input(*second))) == (first == second)


@given(module=ID, input_name=ID)
def test_every_output_can_be_read_back_and_written_in_a_route(module: str, input_name: str) -> None:
    name = output_name(module_input(module, input_name))

    assert read_output_name(name) == module_input(module, input_name)
    assert re.fullmatch(r"[^()<>@,;:\\\"/\[\]?={} \t\r\n$]+", name)
    assert not re.fullmatch(r"-?[0-9]*\.?[0-9]+([eE][+-]?[0-9]+)?", name)


def test_a_name_without_a_dot_is_no_output() -> None:
    with pytest.raises(UsageError, match="'downstream' is no output"):
        read_output_name("downstream")
