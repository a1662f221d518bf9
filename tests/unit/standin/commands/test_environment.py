import pytest

from standin.app import StandIn
from support.standin_commands import run


async def test_the_environment_can_be_read_by_a_shell(standin: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    said = await run(standin, capsys, "environment", "m1")
    assert "export IOTEDGE_MODULEID=m1\n" in said.out
