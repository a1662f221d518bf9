"""IoT Edge around the gateway: its variables, all of them, and its workload API."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gateway.app.upstream import has_upstream
from gateway.doctor.finding import Finding, NotCheckedError, ok, problem
from gateway.doctor.patient import Patient
from gateway.doctor.places import connection_fields
from gateway.doctor.trust import WORKLOAD_S, workload_bundle
from gateway.identity.workload import WorkloadError

NEEDED: Final = {
    "IOTEDGE_WORKLOADURI": "certificates and tokens come from there",
    "IOTEDGE_APIVERSION": "the workload API is asked by it",
    "IOTEDGE_DEVICEID": "the gateway is a module of this device",
    "IOTEDGE_MODULEID": "the gateway is this module",
    "IOTEDGE_MODULEGENERATIONID": "the workload API knows the module by it",
    "IOTEDGE_IOTHUBHOSTNAME": "tokens name their hub",
    "IOTEDGE_GATEWAYHOSTNAME": "edgeHub is reached by it",
}
"""What IoT Edge gives to each of its modules, and what the gateway needs it for."""
SIMULATOR: Final = ("hostname", "deviceid", "moduleid", "sharedaccesskey", "gatewayhostname")
_NAMES: Final = {
    "hostname": "HostName",
    "deviceid": "DeviceId",
    "moduleid": "ModuleId",
    "sharedaccesskey": "SharedAccessKey",
    "gatewayhostname": "GatewayHostName",
}


def check_edge_environment(patient: Patient) -> Iterator[Finding]:
    """The variables that IoT Edge, or its simulator, sets."""
    environ = patient.environ
    given = [name for name in NEEDED if environ.get(name)]
    if environ.get("EdgeHubConnectionString"):
        yield from _of_simulator(patient)
    elif not given:
        if patient.environment is not None and has_upstream(patient.environment, environ):
            yield problem(
                "GATEWAY_UPSTREAM is edgehub, and no variable of IoT Edge is set",
                "the link to edgeHub cannot be made; what is for $upstream waits in the store",
                "run the gateway as a module of IoT Edge, or set GATEWAY_UPSTREAM=none and GATEWAY_UPSTREAM_AMQP",
            )
        else:
            yield ok("this is not IoT Edge: the gateway runs by itself")
    else:
        yield from _of_variables(patient)


def _of_variables(patient: Patient) -> Iterator[Finding]:
    missing = {name: use for name, use in NEEDED.items() if not patient.environ.get(name)}
    for name, use in missing.items():
        yield problem(
            f"{name} is not set, though others of IoT Edge are",
            f"it is needed: {use}",
            "IoT Edge sets all of them: do not override the module's environment with an empty one, and see that the "
            "container was started by edgeAgent, not by hand",
        )
    if not missing:
        yield ok("all variables of IoT Edge are set")
    if not patient.environ.get("EdgeDeviceHostName") and not patient.environ.get("GATEWAY_HOST_NAME"):
        yield problem(
            "neither EdgeDeviceHostName nor GATEWAY_HOST_NAME is set",
            "nobody knows for which name the server certificate is to be",
            "set hostname in the Edge device's config.toml, or GATEWAY_HOST_NAME in the deployment",
        )


def _of_simulator(patient: Patient) -> Iterator[Finding]:
    fields = connection_fields(patient.environ["EdgeHubConnectionString"])
    missing = [_NAMES[name] for name in SIMULATOR if not fields.get(name)]
    if missing:
        yield problem(
            f"EdgeHubConnectionString has no {', no '.join(missing)}",
            "the link to edgeHub cannot be made",
            "copy it from the simulator again (iotedgehubdev modulecred), in quotes: it holds ';'",
        )
    file = patient.environ.get("EdgeModuleCACertificateFile", "")
    if not file or not Path(file).is_file():
        yield problem(
            f"EdgeModuleCACertificateFile is {f'{file}, which is not there' if file else 'not set'}",
            "edgeHub's certificate cannot be checked, so the link is not made",
            "copy the file that the simulator names, and set the variable to it",
        )
    elif not missing:
        yield ok("the simulator's variables are set")


def check_workload_api(patient: Patient) -> Iterator[Finding]:
    """Whether it answers: certificates come from there."""
    uri = patient.environ.get("IOTEDGE_WORKLOADURI")
    if not uri:
        raise NotCheckedError("there is no workload API outside of IoT Edge (IOTEDGE_WORKLOADURI is not set)")
    try:
        asyncio.run(workload_bundle(patient))
    except TimeoutError:
        yield _silent(f"the workload API at {uri} did not answer in {WORKLOAD_S:g} s")
    except WorkloadError as error:
        yield _silent(str(error))
    else:
        yield ok(f"the workload API at {uri} answers")


def _silent(why: str) -> Finding:
    return problem(
        why.removesuffix("."),
        "no server certificate is issued or renewed, and no token for edgeHub is made",
        "on the host: sudo iotedge system status, then sudo iotedge system restart; in a container check the mount "
        "of the socket. `iotedge check` looks at the daemon itself",
    )
