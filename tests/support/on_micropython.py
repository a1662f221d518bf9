"""Single modules of the firmware, run by the boards' interpreter: cases in, answers out, as JSON."""

import json
import os
import subprocess
from typing import Any, Final

from support.leaf_board import FIRMWARE, MICROPYTHON

PROGRAMS: Final = FIRMWARE / "tests"
PATIENCE_S: Final = 100.0


def run(program: str, cases: Any) -> Any:
    """What `device-firmware/tests/<program>.py` says to these cases, with the modules of leaf to import."""
    done = subprocess.run(
        [MICROPYTHON, "-X", "heapsize=64m", PROGRAMS / f"{program}.py"],
        input=json.dumps(cases) + "\n",
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={"PATH": os.environ["PATH"], "MICROPYPATH": f"{FIRMWARE}/leaf:.frozen"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
