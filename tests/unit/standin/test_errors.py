from standin.errors import HubError


def test_a_code_of_the_hub_begins_with_the_status_over_http() -> None:
    error = HubError(404001, "nobody is not in the registry")
    assert (error.code, error.status, str(error)) == (404001, 404, error.what)
