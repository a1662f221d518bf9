"""Each way in which a broker is not there, with what to do."""

import socket
import ssl

import pytest

from gateway.head.foreign_words import ended_tls, explained, goodbye, refusal
from gateway.observe.foreign import BrokerFault

WHERE = "broker:1883"


@pytest.mark.parametrize(
    ("code", "fault", "words"),
    [
        (1, BrokerFault.VERSION, "GATEWAY_BROKER_VERSION"),
        (2, BrokerFault.CLIENT_ID, "GATEWAY_BROKER_CLIENT_ID"),
        (3, BrokerFault.UNAVAILABLE, "not available"),
        (4, BrokerFault.CREDENTIALS, "GATEWAY_BROKER_PASSWORD_FILE"),
        (5, BrokerFault.NOT_AUTHORISED, "who may connect"),
        (0x84, BrokerFault.VERSION, "3.1.1"),
        (0x87, BrokerFault.NOT_AUTHORISED, "GATEWAY_BROKER_USER"),
        (0xB0, BrokerFault.PROTOCOL, "0xB0"),
    ],
)
def test_a_refusal_says_what_to_change(code: int, fault: BrokerFault, words: str) -> None:
    error = refusal(code, WHERE)
    assert error.fault is fault
    assert words in str(error)
    assert WHERE in str(error)


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (0x00, BrokerFault.DROPPED),
        (0x8B, BrokerFault.UNAVAILABLE),
        (0x8E, BrokerFault.TAKEN_OVER),
        (0x87, BrokerFault.NOT_AUTHORISED),
        (0xFE, BrokerFault.DROPPED),
    ],
)
def test_a_goodbye_is_told_with_its_reason(code: int, fault: BrokerFault) -> None:
    assert goodbye(code, WHERE).fault is fault


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("bad")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "fault", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), BrokerFault.UNKNOWN_HOST, "name or service not known"),
        (ConnectionRefusedError(111, "Connection refused"), BrokerFault.UNREACHABLE, "nobody listens"),
        (ConnectionResetError(104, "reset"), BrokerFault.DROPPED, "closed"),
        (BrokenPipeError(32, "pipe"), BrokerFault.DROPPED, "closed"),
        (ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), BrokerFault.DROPPED, "closed"),
        (TimeoutError(), BrokerFault.TIMED_OUT, "in time"),
        (OSError(113, "No route to host"), BrokerFault.UNREACHABLE, "no route to host"),
        (untrusted(), BrokerFault.CERTIFICATE, "GATEWAY_BROKER_CA_FILE"),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), BrokerFault.OUR_CERTIFICATE, "GATEWAY_BROKER_CERTIFICATE"),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), BrokerFault.OUR_CERTIFICATE, "GATEWAY_BROKER_KEY"),
        (tls_error("WRONG_VERSION_NUMBER"), BrokerFault.TLS, "is not TLS"),
        (tls_error("NO_PROTOCOLS_AVAILABLE"), BrokerFault.TLS, "no protocols available"),
    ],
)
def test_what_goes_wrong_on_the_way_is_told_with_what_to_do(error: OSError, fault: BrokerFault, words: str) -> None:
    found = explained(error, WHERE)
    assert found.fault is fault
    assert words in str(found)
    assert WHERE in str(found)


def test_a_close_over_tls_before_an_answer_names_the_likely_reason() -> None:
    found = ended_tls(WHERE)
    assert found.fault is BrokerFault.TLS
    assert "wants a certificate of ours" in str(found)
    assert "GATEWAY_BROKER_KEY" in str(found)
