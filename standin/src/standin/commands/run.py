"""`standin run`: a stand-in, until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from standin.app import DEFAULT_ADDRESS, DEFAULT_EDGE_DEVICE, DEFAULT_HUB, Ports, StandIn
from standin.commands.terminal import DONE, add_command, complain, say
from standin.devicebound import C2dSettings
from standin.dps import DEFAULT_SCOPE, DpsOptions
from standin.feedback import BATCH_S
from standin.routes import EVERYTHING_UPSTREAM, read_manifest

if TYPE_CHECKING:
    from standin.commands.terminal import Commands


def add(commands: "Commands") -> None:
    """`run`."""
    run = add_command(commands, "run", _run, "run a stand-in until SIGTERM or Ctrl-C")
    run.add_argument("--address", default=DEFAULT_ADDRESS, help="where it listens (default: %(default)s)")
    run.add_argument("--hub", default=DEFAULT_HUB, help="what the hub is called (default: %(default)s)")
    run.add_argument("--edge-device", default=DEFAULT_EDGE_DEVICE, help="the edge device (default: %(default)s)")
    run.add_argument("--module", action="append", default=[], metavar="ID", help="a module of it; may be repeated")
    run.add_argument("--device", action="append", default=[], metavar="ID", help="a leaf device; may be repeated")
    run.add_argument("--mqtt-port", type=int, default=8883, help="default: %(default)s; 0 takes a free one")
    run.add_argument("--amqp-port", type=int, default=5671, help="default: %(default)s; 0 takes a free one, -1 none")
    run.add_argument("--websocket-port", type=int, default=443, help="default: %(default)s; -1 leaves it out")
    run.add_argument("--page-port", type=int, default=9600, help="of its page; default: %(default)s; -1 leaves it out")
    run.add_argument("--manifest", type=Path, metavar="FILE", help="take the routes of $edgeHub from this manifest")
    run.add_argument("--certs", type=Path, metavar="DIR", help="the CA folder (default: certs in the run directory)")
    run.add_argument("--certificate-days", type=int, metavar="N", help="how long modules' certificates live")
    run.add_argument("--id-scope", default=DEFAULT_SCOPE, help="of its provisioning service (default: %(default)s)")
    run.add_argument(
        "--assigned-host", metavar="HOST", help="what provisioned devices are told to call (default: the address)"
    )
    run.add_argument(
        "--assign-delay",
        type=float,
        default=1.0,
        metavar="S",
        help="how long a registration takes (default: %(default)s)",
    )
    run.add_argument("--event-hub", action="append", default=[], metavar="NAME", help="an Event Hub; may be repeated")
    run.add_argument("--partitions", type=int, metavar="N", help="of the events (default: 4, or as before)")
    run.add_argument(
        "--consumer-group", action="append", default=[], metavar="NAME", help="besides $Default; may be repeated"
    )
    run.add_argument(
        "--feedback-delay",
        type=float,
        default=BATCH_S,
        metavar="S",
        help="how long the first record of a batch of feedback waits for more (default: %(default)s)",
    )
    run.add_argument("--show", action="store_true", help="print what arrives and what is refused")


def _run(arguments: argparse.Namespace) -> int:
    return asyncio.run(_run_until_told(arguments))


async def _run_until_told(arguments: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _stand_in(arguments) as standin:
        for device in arguments.device:
            standin.ensure_device(device)
        for event_hub in arguments.event_hub:
            standin.namespace.ensure(event_hub)
        for notice in standin.notices:
            complain(notice)
        say(f"READY {standin.summary()}")
        await stop.wait()
    return DONE


def _stand_in(arguments: argparse.Namespace) -> StandIn:
    websocket = None if arguments.websocket_port < 0 else arguments.websocket_port
    amqp = None if arguments.amqp_port < 0 else arguments.amqp_port
    page = None if arguments.page_port < 0 else arguments.page_port
    return StandIn(
        arguments.dir,
        address=arguments.address,
        hub_name=arguments.hub,
        edge_device=arguments.edge_device,
        modules=arguments.module,
        ports=Ports(mqtt=arguments.mqtt_port, websocket=websocket, amqp=amqp, page=page),
        routes=EVERYTHING_UPSTREAM if arguments.manifest is None else read_manifest(arguments.manifest),
        certificates=arguments.certs,
        certificate_days=arguments.certificate_days,
        dps=DpsOptions(scope=arguments.id_scope, delay_s=arguments.assign_delay, host=arguments.assigned_host),
        c2d=C2dSettings(feedback_s=arguments.feedback_delay),
        partitions=arguments.partitions,
        consumer_groups=arguments.consumer_group,
        show=say if arguments.show else None,
    )
