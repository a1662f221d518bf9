"""Why there is no link, in words: the SDK's nested exceptions read for a person."""

import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from azure.iot.device.common import transport_exceptions
from azure.iot.device.common.pipeline import pipeline_exceptions
from azure.iot.device.iothub.edge_hsm import IoTEdgeError

from gateway.observe.upstream import LinkFault

EDGE_VARIABLES: Final = (
    "IOTEDGE_WORKLOADURI",
    "IOTEDGE_APIVERSION",
    "IOTEDGE_DEVICEID",
    "IOTEDGE_MODULEID",
    "IOTEDGE_MODULEGENERATIONID",
    "IOTEDGE_IOTHUBHOSTNAME",
    "IOTEDGE_GATEWAYHOSTNAME",
)
"""What azure-iot-device needs of IoT Edge's environment. iothub_wire.md §0.6."""
SIMULATOR_VARIABLES: Final = ("EdgeHubConnectionString", "EdgeModuleCACertificateFile")
"""What it takes instead."""


@dataclass(frozen=True, slots=True)
class LinkFailure:
    """The kind of a failure, and the sentence for a person."""

    fault: LinkFault
    reason: str


def explain(error: BaseException, environ: Mapping[str, str] = os.environ) -> LinkFailure:
    """What `error`, raised or returned by the SDK while it connected, means."""
    missing = _missing(environ)
    if missing:
        return LinkFailure(LinkFault.ENVIRONMENT, missing)
    target = _target(environ)
    chain = list(_chain(error))
    for each in chain:
        failure = _explain_one(each, chain[-1], target)
        if failure is not None:
            return failure
    return LinkFailure(LinkFault.OTHER, f"{type(error).__name__}: {_text(chain[-1])}")


def _missing(environ: Mapping[str, str]) -> str:
    """What to say if neither set of variables is complete, empty if one is."""
    edge = [name for name in EDGE_VARIABLES if name not in environ]
    simulator = [name for name in SIMULATOR_VARIABLES if name not in environ]
    if not edge or not simulator:
        return ""
    return (
        f"the environment does not say who this module is: {', '.join(edge)} missing. IoT Edge sets them in its "
        f"containers; outside of one set them, or {' and '.join(SIMULATOR_VARIABLES)}"
    )


def _target(environ: Mapping[str, str]) -> str:
    if "IOTEDGE_GATEWAYHOSTNAME" in environ:
        return f"{environ['IOTEDGE_GATEWAYHOSTNAME']}:8883"
    fields = dict(part.partition("=")[::2] for part in environ.get("EdgeHubConnectionString", "").split(";"))
    return f"{fields.get('GatewayHostName', 'edgeHub')}:8883"


def _explain_one(error: BaseException, root: BaseException, target: str) -> LinkFailure | None:
    """What one error of the chain says about it, None if too little."""
    match error:
        case ssl.SSLCertVerificationError() as wrong:
            return LinkFailure(
                LinkFault.CERTIFICATE,
                f"the certificate of {target} is not accepted: {wrong.verify_message}. It must be signed by the trust "
                "bundle and name this host",
            )
        case transport_exceptions.UnauthorizedError():
            return LinkFailure(
                LinkFault.CREDENTIALS,
                f"{target} refused this module's token ({_text(root)}). Check that the module exists in the "
                "deployment, and this machine's clock",
            )
        case IoTEdgeError():
            return LinkFailure(
                LinkFault.ENVIRONMENT, f"the workload API of IoT Edge refused: {_text(error)}: {_text(root)}"
            )
        case FileNotFoundError() as absent:
            return LinkFailure(LinkFault.ENVIRONMENT, f"{absent.filename or 'a file'} does not exist")
        case TimeoutError() | pipeline_exceptions.OperationTimeout():
            return LinkFailure(LinkFault.TIMED_OUT, f"{target} did not answer in time")
        case transport_exceptions.ConnectionFailedError() | transport_exceptions.ConnectionDroppedError():
            if isinstance(root, TimeoutError | ssl.SSLCertVerificationError):
                return None
            return LinkFailure(LinkFault.UNREACHABLE, f"cannot reach {target}: {_text(root)}")
        case _:
            return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__


def _text(error: BaseException) -> str:
    """What it says, without a full stop at its end: it becomes part of a sentence."""
    return str(error).rstrip(".") or type(error).__name__
