import pytest

from edgewire.iothub.ids import is_id


@pytest.mark.parametrize("text", ["leaf-01", "a*b=c@1", "$edgeHub", "x" * 128, "-._%*?!(),:=@$'", "a%2Fb", "."])
def test_is_an_id(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "x" * 129, "a b", "a/b", "a+b", "a#b", "a\n", "a\0", "a\u200b", "é", "a\\", 'a"'])
def test_is_no_id(text: str) -> None:
    assert not is_id(text)
