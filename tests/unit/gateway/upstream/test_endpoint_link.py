from gateway.observe.upstream import LinkFault
from gateway.upstream.endpoint_link import LinkDownError


def test_a_link_that_is_down_says_of_what_kind_and_why() -> None:
    error = LinkDownError(LinkFault.CREDENTIALS, "the key is not taken")
    assert (error.fault, error.reason, str(error)) == (
        LinkFault.CREDENTIALS,
        "the key is not taken",
        "the key is not taken",
    )
