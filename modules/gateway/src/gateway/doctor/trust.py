"""Whom the gateway believes: read as the gateway reads it, for one look."""

import asyncio
from pathlib import Path
from typing import Final

from gateway.doctor.finding import NotCheckedError
from gateway.doctor.patient import Patient
from gateway.identity.workload import Workload, WorkloadError

WORKLOAD_S: Final = 3.0
"""For the trust bundle of the workload API, which has it at hand."""


def trust_pem(patient: Patient) -> bytes:
    """The authorities beside the system's: a file's, the workload API's, the simulator's; nothing if there are none."""
    return bundle_pem(patient) + _simulator_pem(patient)


def bundle_pem(patient: Patient) -> bytes:
    """The trust bundle: of the settings, or of the workload API; nothing if neither has one that can be read."""
    file = patient.settings.trust_bundle_file
    if file is not None:
        return _read(file)
    try:
        return asyncio.run(workload_bundle(patient)).encode()
    except (WorkloadError, TimeoutError, NotCheckedError):
        return b""  # `workload-api` says why


async def workload_bundle(patient: Patient) -> str:
    """What the workload API gives. Raises WorkloadError, TimeoutError, NotCheckedError."""
    if "IOTEDGE_WORKLOADURI" not in patient.environ:
        raise NotCheckedError("there is no workload API outside of IoT Edge (IOTEDGE_WORKLOADURI is not set)")
    workload = Workload.from_environment(patient.environ)
    async with asyncio.timeout(WORKLOAD_S):
        return await workload.trust_bundle()


def _simulator_pem(patient: Patient) -> bytes:
    name = patient.environ.get("EdgeModuleCACertificateFile")
    return b"\n" + _read(Path(name)) if name else b""


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""  # `trust` says why
