"""`gateway run` in a process whose event loop stops turning at SIGUSR1, or whose interpreter does at SIGUSR2."""

import asyncio
import ctypes
import signal
import sys
import time

from gateway.cli import run

FOR_EVER_S = 600


def hold_the_interpreter() -> None:
    """Sleep in machine code that does not let go of the interpreter: no thread of Python runs meanwhile."""
    ctypes.PyDLL(None).sleep(FOR_EVER_S)


async def serve() -> int:
    """As `gateway run`."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, time.sleep, FOR_EVER_S)
    loop.add_signal_handler(signal.SIGUSR2, hold_the_interpreter)
    return await run._serve(show=False)


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
