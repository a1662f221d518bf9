import pytest

from gateway.observe.publishers import (
    MintProof,
    MintRefusal,
    PublisherRefusal,
    PublisherRefused,
    PublishersUnreadable,
    TokenMinted,
    TokenNotMinted,
)


@pytest.mark.parametrize("reason", PublisherRefusal)
def test_every_refusal_of_a_publisher_says_why(reason: PublisherRefusal) -> None:
    sentence = PublisherRefused("telemetry/wipy-01", "10.0.0.1", reason).sentence()
    assert sentence.startswith("publisher 'telemetry/wipy-01' from 10.0.0.1 was not let in: ")
    assert len(sentence) > 70


@pytest.mark.parametrize("reason", MintRefusal)
def test_every_refusal_of_a_token_says_why(reason: MintRefusal) -> None:
    sentence = TokenNotMinted("d1", "10.0.0.1", reason).sentence()
    assert sentence.startswith("'d1' from 10.0.0.1 got no token: ")
    assert len(sentence) > 60


@pytest.mark.parametrize("proof", MintProof)
def test_who_got_a_token_is_said_without_it(proof: MintProof) -> None:
    event = TokenMinted(device="d1", address="10.0.0.1", by=proof, lifetime_s=600)
    assert event.sentence() == f"'d1' from 10.0.0.1 got a token for 600 s by its {proof.value}"


def test_a_file_that_cannot_be_read_says_what_follows() -> None:
    assert "stay in force" in PublishersUnreadable("/data/publishers.json is broken").sentence()
