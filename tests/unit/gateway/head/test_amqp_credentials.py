from edgewire.iothub.amqp.sasl import PlainLogin
from edgewire.message import identity
from edgewire.transport.pump import Peer
from gateway.head.amqp_credentials import MAX_TOKENS_CHARS, Credentials

D1, D2, MODULE = identity("d1"), identity("d2"), identity("d1", "m")
NOW = 1_900_000_000.0


def credentials(*certificates: bytes) -> Credentials:
    return Credentials(Peer(address="10.0.0.9", port=1, certificates=certificates), "hub.example")


def test_a_token_is_for_whom_it_names_and_a_devices_for_its_modules_too() -> None:
    shown = credentials()
    assert shown.put((D1,), "one")
    assert shown.put((D2,), "two")
    assert [shown.token_of(who) for who in (D1, D2, MODULE, identity("d2", "m"), identity("d3"))] == [
        "one",
        "two",
        "one",
        "two",
        None,
    ]
    assert shown.put((MODULE,), "its own")
    assert shown.token_of(MODULE) == "its own"
    assert shown.own_token_of(MODULE) == "its own"


def test_a_token_that_is_dropped_is_no_more() -> None:
    shown = credentials()
    shown.put((D1, D2), "one")
    shown.drop(D1)
    shown.drop(identity("nobody"))
    assert (shown.token_of(D1), shown.token_of(D2)) == (None, "one")
    assert not shown.has_any_for(D1)


def test_what_there_was_before_a_bad_token_is_restored_and_nothing_stays_of_who_had_none() -> None:
    """Put-tokens of made-up names must not add up."""
    shown = credentials()
    shown.put((D1,), "good")
    shown.put((D1, D2), "bad")
    shown.restore({D1: "good", D2: None})
    assert (shown.token_of(D1), shown.token_of(D2)) == ("good", None)
    assert shown.put((D2,), "x" * (MAX_TOKENS_CHARS - len("good")))
    assert not shown.put((MODULE,), "x")


def test_tokens_together_have_a_bound_and_a_newer_one_takes_the_place_of_the_one_before() -> None:
    shown = credentials()
    half = "x" * (MAX_TOKENS_CHARS // 2)
    assert shown.put((D1,), half)
    assert shown.put((D2,), half)
    assert not shown.put((MODULE,), "x")
    assert shown.put((D2,), half[1:])
    assert shown.put((MODULE,), "x")
    assert not shown.put((D1,), half + "x")
    assert shown.token_of(D1) == half


def test_a_claim_says_all_that_was_shown_for_one() -> None:
    shown = credentials(b"leaf", b"issuer")
    assert shown.has_any_for(D1)
    claim = shown.claim(D1, NOW)
    assert (claim.identity, claim.hub, claim.token) == (D1, "hub.example", None)
    assert (claim.certificates, claim.address, claim.now) == ((b"leaf", b"issuer"), "10.0.0.9", NOW)


def test_after_a_login_by_plain_nobody_else_may_use_the_connection() -> None:
    shown = credentials()
    login = PlainLogin(identity=D1, hub="hub", token="one")
    assert shown.may_use(D2)
    assert shown.plain_claim(login, "hub.example", NOW).token == "one"
    shown.log_in(login)
    assert shown.may_use(D1)
    assert not shown.may_use(D2)
    assert not shown.may_use(MODULE)
    assert shown.claim(D1, NOW).token == "one"
