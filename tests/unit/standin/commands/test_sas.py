import time

import pytest

from edgewire.iothub import sas
from edgewire.line.escapes import percent_decode
from standin.app import StandIn
from support.standin_commands import run


@pytest.mark.parametrize(
    ("arguments", "resource", "policy"),
    [
        (("m1",), "standin-hub.test/devices/edge-1/modules/m1", None),
        (("edge-1", "--host", "127.0.0.7"), "127.0.0.7/devices/edge-1", None),
        (("--policy", "service"), "standin-hub.test", "service"),
    ],
)
async def test_a_token_is_made_that_the_hub_takes(
    standin: StandIn,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    resource: str,
    policy: str | None,
) -> None:
    said = await run(standin, capsys, "sas", *arguments, "--life", "60")
    token = sas.parse(said.out.strip())
    holder = standin.hub.policies.get(policy) if policy else standin.hub.registry.get(standin.hub.resolve(arguments[0]))
    assert holder is not None
    now = time.time()
    assert percent_decode(token.resource, "sr") == resource
    assert token.key_name == (policy or "")
    assert now < token.expires_at <= now + 61
    assert sas.verify(token, holder.signing_keys(), now) is sas.Verdict.GOOD


async def test_connection_strings_are_printed_for_each_kind_of_client(
    standin: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    device = (await run(standin, capsys, "connection-string", "edge-1")).out
    service = (await run(standin, capsys, "connection-string", "--policy", "service")).out
    events = (await run(standin, capsys, "connection-string", "--events")).out
    assert device.startswith("HostName=standin-hub.test;DeviceId=edge-1;SharedAccessKey=")
    assert service.startswith("HostName=127.0.70.20;SharedAccessKeyName=service;SharedAccessKey=")
    assert events.startswith("Endpoint=sb://127.0.70.20/;SharedAccessKeyName=iothubowner;")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("sas",), 2, "either a device"),
        (("sas", "m1", "--policy", "service"), 2, "either a device"),
        (("sas", "m1", "--life", "0"), 1, "life_s"),
        (("sas", "nobody"), 1, "devices list"),
        (("connection-string", "--policy", "nobody"), 1, "no policy 'nobody'"),
    ],
)
async def test_what_cannot_be_made_is_said(
    standin: StandIn, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = await run(standin, capsys, *arguments)
    assert (said.code, said.out) == (code, "")
    assert words in said.err


async def test_a_device_with_a_certificate_has_no_token(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    standin.add_certificate_device("x")
    said = await run(standin, capsys, "sas", "x")
    assert said.code == 1
    assert "by a certificate" in said.err
