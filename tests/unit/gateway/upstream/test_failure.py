import ssl
from collections.abc import Mapping

import pytest
from azure.iot.device.common import transport_exceptions
from azure.iot.device.common.pipeline import pipeline_exceptions
from azure.iot.device.iothub.edge_hsm import IoTEdgeError

from gateway.observe.upstream import LinkFault
from gateway.upstream.failure import EDGE_VARIABLES, explain

EDGE = dict.fromkeys(EDGE_VARIABLES, "x") | {"IOTEDGE_GATEWAYHOSTNAME": "pi.site"}


def caused(outer: Exception, *causes: Exception) -> Exception:
    """`outer`, caused by the first of `causes`, caused by the second, …"""
    current = outer
    for cause in causes:
        current.__cause__ = cause
        current = cause
    return outer


def not_trusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED")
    error.verify_message = "self-signed certificate in certificate chain"
    return error


@pytest.mark.parametrize(
    ("error", "fault", "says"),
    [
        (
            caused(transport_exceptions.ConnectionFailedError(), ConnectionRefusedError(111, "Connection refused")),
            LinkFault.UNREACHABLE,
            "cannot reach pi.site:8883: [Errno 111] Connection refused",
        ),
        (
            caused(transport_exceptions.ConnectionFailedError(), TimeoutError("timed out")),
            LinkFault.TIMED_OUT,
            "pi.site:8883 did not answer in time",
        ),
        (TimeoutError(), LinkFault.TIMED_OUT, "pi.site:8883 did not answer in time"),
        (pipeline_exceptions.OperationTimeout("x"), LinkFault.TIMED_OUT, "did not answer in time"),
        (
            transport_exceptions.UnauthorizedError("Connection Refused: not authorised."),
            LinkFault.CREDENTIALS,
            "refused this module's token (Connection Refused: not authorised)",
        ),
        (
            caused(transport_exceptions.TlsExchangeAuthError(), not_trusted()),
            LinkFault.CERTIFICATE,
            "the certificate of pi.site:8883 is not accepted: self-signed certificate",
        ),
        (
            caused(OSError("Unexpected failure in IoTEdge"), IoTEdgeError("Unable to sign"), RuntimeError("404")),
            LinkFault.ENVIRONMENT,
            "the workload API of IoT Edge refused: Unable to sign: 404",
        ),
        (
            caused(RuntimeError("aborted"), FileNotFoundError(2, "No such file", "/run/workload.sock")),
            LinkFault.ENVIRONMENT,
            "/run/workload.sock does not exist",
        ),
        (
            transport_exceptions.ConnectionFailedError("Connection Refused: broker unavailable."),
            LinkFault.UNREACHABLE,
            "Connection Refused: broker unavailable",
        ),
        (
            transport_exceptions.ConnectionDroppedError("transport disconnected"),
            LinkFault.UNREACHABLE,
            "transport disconnected",
        ),
        (caused(RuntimeError("outer"), KeyError("inner")), LinkFault.OTHER, "RuntimeError: 'inner'"),
        (RuntimeError(), LinkFault.OTHER, "RuntimeError: RuntimeError"),
    ],
)
def test_a_failure_is_said_in_words(error: Exception, fault: LinkFault, says: str) -> None:
    failure = explain(error, EDGE)

    assert failure.fault is fault
    assert says in failure.reason
    assert not failure.reason.endswith(".")


@pytest.mark.parametrize("environ", [{}, {"IOTEDGE_DEVICEID": "edge-1"}, {"EdgeHubConnectionString": "x"}])
def test_missing_variables_are_named(environ: Mapping[str, str]) -> None:
    failure = explain(OSError("IoT Edge environment not configured correctly"), environ)

    assert failure.fault is LinkFault.ENVIRONMENT
    assert "IOTEDGE_WORKLOADURI" in failure.reason
    assert ("IOTEDGE_DEVICEID" in failure.reason) == ("IOTEDGE_DEVICEID" not in environ)
    assert "EdgeHubConnectionString and EdgeModuleCACertificateFile" in failure.reason


def test_with_the_simulators_pair_its_gateway_is_named() -> None:
    environ = {
        "EdgeHubConnectionString": "HostName=h;GatewayHostName=sim.local;SharedAccessKey=a=",
        "EdgeModuleCACertificateFile": "ca.pem",
    }

    assert "sim.local:8883" in explain(TimeoutError(), environ).reason


def test_a_cause_that_leads_back_to_itself_ends() -> None:
    error = RuntimeError("a")
    error.__cause__ = caused(RuntimeError("b"), error)

    assert explain(error, EDGE).fault is LinkFault.OTHER
