"""RabbitMQ of Debian with its AMQP 1.0 plugin: a node of our own, with nothing of it outside the work folder."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from sidebyside.machine import LOAD_CORE, SERVER_CORE
from sidebyside.programs import Running, free_port, running
from sidebyside.targets import Bench, Target

SERVER: Final = "/usr/lib/rabbitmq/bin/rabbitmq-server"
"""Not Debian's wrapper, which changes to a user of its own."""
ADDRESS: Final = "127.0.0.62"
NODE: Final = "gateway-bench@localhost"
GUEST: Final = "guest"
"""Name and password of RabbitMQ's own account for clients on the same machine."""


def rabbitmq(name: str) -> Target:
    """One node on the server's core; nobody takes from its queues."""
    return Target(name=name, start=_node)


@contextmanager
def _node(bench: Bench) -> Iterator[Running]:
    folder, port = bench.fresh("rabbitmq"), free_port(ADDRESS)
    (folder / "rabbitmq.conf").write_text(f"listeners.tcp.1 = {ADDRESS}:{port}\n")
    (folder / "plugins").write_text("[rabbitmq_amqp1_0].\n")
    names = free_port()
    environment = environment_of(folder, names)
    with ExitStack() as stack:
        epmd = ["epmd", "-address", "127.0.0.1", "-port", str(names)]
        stack.enter_context(running(epmd, core=LOAD_CORE, port=names, log=folder / "epmd.log", environment=environment))
        log = bench.folder / "rabbitmq.log"
        yield stack.enter_context(
            running([SERVER], core=SERVER_CORE, port=port, log=log, address=ADDRESS, environment=environment)
        )


def environment_of(folder: Path, names: int) -> dict[str, str]:
    """Everything in `folder`. Its names' daemon is one of ours, or the node would leave one behind.

    With ALLOW_INPUT the script becomes the node instead of its parent: signals and /proc then mean the node.
    """
    foreign = (name for name in os.environ if name.startswith(("RABBITMQ_", "ERL_")))
    return {
        **dict.fromkeys(foreign, ""),
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(names),
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_START_ARGS": "-noinput",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
