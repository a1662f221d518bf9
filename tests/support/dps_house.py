"""A stand-in's hub with its provisioning service, in memory: no socket, clocks that a test moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from edgewire.iothub import sas
from edgewire.iothub.dps import Registrant
from standin.dps import DpsOptions, Provisioning
from standin.dps_enrolments import Attestation, Enrolment, with_keys
from standin.dps_hubs import OwnHub
from support.hub_line import House, house

SCOPE: Final = "0ne00STANDIN"
K1: Final = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
K2: Final = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
REG: Final = Registrant(SCOPE, "reg-01")
NOW: Final = 1_800_000_000


@asynccontextmanager
async def dps_house(directory: Path, *, delay_s: float = 0) -> AsyncIterator[House]:
    """A house whose provisioning knows `reg-01` by K1 and K2."""
    hall = house(directory, edge_device="edge-1")
    options = DpsOptions(scope=SCOPE, delay_s=delay_s)
    hall.dps = Provisioning(hall.hub, {"": OwnHub(hall.hub, "127.0.0.7")}, options, clock=hall.wall_clock)
    async with hall.dps:
        enrol(hall)
        yield hall
    await hall.close()


def dps_of(hall: House) -> Provisioning:
    """The service of such a house."""
    assert hall.dps is not None
    return hall.dps


def enrol(hall: House, **changes: Any) -> Enrolment:
    """A device with K1 and K2, or a group."""
    enrolment = with_keys(Enrolment(name="reg-01", group=False, attestation=Attestation.SYMMETRIC_KEY), [K1, K2])
    return dps_of(hall).enrolments.add(replace(enrolment, **changes))


def token(registrant: Registrant = REG, key: str = K1, life_s: int = 3600) -> str:
    """What Python's client makes."""
    return sas.make(str(registrant), sas.decode_key(key), NOW + life_s)


def request(registration: str = "reg-01", **more: Any) -> bytes:
    """The body of a request to register."""
    return orjson.dumps({"registrationId": registration} | more)
