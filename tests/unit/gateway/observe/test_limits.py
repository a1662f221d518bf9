import pytest

from gateway.observe.limits import DeviceLimited, Limit, QuotasNotKept, QuotasUnreadable, WhenOver


@pytest.mark.parametrize(
    ("limit", "policy", "allowed", "says"),
    [
        (
            Limit.MESSAGES_PER_SECOND,
            WhenOver.SLOW,
            0.5,
            "its limit of 0.5 messages in a second: it is read from",
        ),
        (
            Limit.BYTES_PER_SECOND,
            WhenOver.REFUSE,
            1_048_576,
            "its limit of 1,048,576 bytes in a second: what is",
        ),
        (Limit.MESSAGES_PER_DAY, WhenOver.REFUSE, 50_000, "its limit of 50,000 messages today (UTC)"),
    ],
)
def test_the_sentence_says_who_how_much_and_what_follows(
    limit: Limit, policy: WhenOver, allowed: float, says: str
) -> None:
    sentence = DeviceLimited(limit=limit, when_over=policy, identity="d1", allowed=allowed).sentence()
    assert sentence.startswith("'d1' is at ")
    assert says in sentence
    assert "raise its 'limits'" in sentence


def test_a_file_that_is_of_no_use_is_named() -> None:
    assert "'/data/quotas.json' (no space)" in QuotasNotKept("/data/quotas.json", "no space").sentence()
    assert "'/data/quotas.json' is of no use (torn)" in QuotasUnreadable("/data/quotas.json", "torn").sentence()
