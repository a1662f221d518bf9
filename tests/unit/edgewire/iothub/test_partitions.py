import pytest

from edgewire.iothub.partitions import key_hash, partition_of_key


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        # The cases of the service's own clients, in .NET and Python alike.
        ("7", -15263),
        ("131", 30562),
        ("7149583486996073602", 12977),
        ("FWfAT", -22341),
        ("sOdeEAsyQoEuEFPGerWO", -6503),
        ("", 0),
    ],
)
def test_a_key_has_the_hash_that_the_service_gives_it(key: str, wanted: int) -> None:
    assert key_hash(key) == wanted


@pytest.mark.parametrize("length", range(40))
def test_a_hash_of_any_length_is_a_signed_number_of_sixteen_bits(length: int) -> None:
    assert -32768 <= key_hash("k" * length) <= 32767


def test_the_partition_is_the_rest_of_the_absolute_value() -> None:
    # -15263 leaves 3 in .NET, where a remainder has the sign of the dividend; Python's own would be 1.
    assert partition_of_key("7", 4) == 3
    assert {partition_of_key(f"d{number}", 4) for number in range(50)} == {0, 1, 2, 3}
