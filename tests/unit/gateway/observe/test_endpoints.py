from gateway.observe.endpoints import (
    EndpointLinkAbandoned,
    EndpointLost,
    EndpointTryFailed,
    EndpointUp,
    EndpointWithoutSettings,
)
from gateway.observe.upstream import LinkFault


def test_sentences_name_the_endpoint_and_what_becomes_of_its_messages() -> None:
    up = EndpointUp("archive", 1.25)
    assert up.sentence() == "connected to the endpoint 'archive' after 1.2 s"
    lost = EndpointLost(LinkFault.DROPPED, "archive", "cut", 3)
    assert lost.sentence() == "link to the endpoint 'archive' lost: cut. 3 messages in flight will be sent again"
    failed = EndpointTryFailed(LinkFault.CREDENTIALS, "archive", "not with this key", 2, 1.0)
    assert "(try 2): not with this key. Its messages wait in the store; next try in 1.0 s" in failed.sentence()
    assert "'archive' did not shut down its link within 5 s" in EndpointLinkAbandoned("archive", 5.0).sentence()
    assert "'archive', which the settings do not name any more" in EndpointWithoutSettings("archive").sentence()
