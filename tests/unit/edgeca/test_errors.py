from edgeca.errors import CaError, Refused


def test_no_is_exit_code_1_and_cannot_is_exit_code_2() -> None:
    assert (Refused("no").exit_code, CaError("cannot").exit_code) == (1, 2)


def test_a_refusal_is_caught_as_a_ca_error() -> None:
    assert issubclass(Refused, CaError)
