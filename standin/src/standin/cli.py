"""The command `standin`: run it, and ask a running one."""

import argparse
import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from edgeca.errors import CaError
from standin.app import DEFAULT_ADDRESS, DEFAULT_EDGE_DEVICE, DEFAULT_HUB, Ports, StandIn, StandInError
from standin.client import Control, ControlError
from standin.documents import JsonObject
from standin.events import from_json
from standin.registry import RegistryError
from standin.routes import EVERYTHING_UPSTREAM, RoutesError, read_manifest
from standin.show import event_line

DONE: Final = 0
NO: Final = 1
"""The answer is no: not found, not connected, refused."""
UNUSABLE: Final = 2
"""Wrong usage, or something that cannot be read or opened."""
_FOLLOW_WAIT_S: Final = 30.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code: 0 done, 1 the answer is no, 2 wrong usage or unusable input."""
    parsed = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = parsed.command
    try:
        return command(parsed)
    except (StandInError, RoutesError, RegistryError, CaError) as error:
        _complain(str(error))
        return UNUSABLE
    except ControlError as error:
        _complain(error.what)
        return NO if error.status else UNUSABLE
    except BrokenPipeError:
        # Whoever read our output has enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="standin", description="A local IoT Hub, edgeHub and workload API. For development and tests only."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_events(commands)
    _add_devices(commands)
    _add_twin(commands)
    _add_method(commands)
    _add_environment(commands)
    status = _command(commands, "status", _status, "who is connected, and what was counted")
    status.add_argument("--json", action="store_true", help="for programs")
    return parser


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=run)
    parser.add_argument(
        "--dir", type=Path, default=Path("standin-data"), help="the run directory (default: %(default)s)"
    )
    return parser


# --- run --------------------------------------------------------------------------------------------------------------


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = _command(commands, "run", _run, "run a stand-in until SIGTERM or Ctrl-C")
    run.add_argument("--address", default=DEFAULT_ADDRESS, help="where it listens (default: %(default)s)")
    run.add_argument("--hub", default=DEFAULT_HUB, help="what the hub is called (default: %(default)s)")
    run.add_argument("--edge-device", default=DEFAULT_EDGE_DEVICE, help="the edge device (default: %(default)s)")
    run.add_argument("--module", action="append", default=[], metavar="ID", help="a module of it; may be repeated")
    run.add_argument("--device", action="append", default=[], metavar="ID", help="a leaf device; may be repeated")
    run.add_argument("--mqtt-port", type=int, default=8883, help="default: %(default)s; 0 takes a free one")
    run.add_argument("--amqp-port", type=int, default=5671, help="default: %(default)s; 0 takes a free one, -1 none")
    run.add_argument("--websocket-port", type=int, default=443, help="default: %(default)s; -1 leaves it out")
    run.add_argument("--manifest", type=Path, metavar="FILE", help="take the routes of $edgeHub from this manifest")
    run.add_argument("--certs", type=Path, metavar="DIR", help="the CA folder (default: certs in the run directory)")
    run.add_argument("--certificate-days", type=int, metavar="N", help="how long modules' certificates live")
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
        for notice in standin.notices:
            _complain(notice)
        _say(f"READY {standin.summary()}")
        await stop.wait()
    return DONE


def _stand_in(arguments: argparse.Namespace) -> StandIn:
    websocket = None if arguments.websocket_port < 0 else arguments.websocket_port
    amqp = None if arguments.amqp_port < 0 else arguments.amqp_port
    return StandIn(
        arguments.dir,
        address=arguments.address,
        hub_name=arguments.hub,
        edge_device=arguments.edge_device,
        modules=arguments.module,
        ports=Ports(mqtt=arguments.mqtt_port, websocket=websocket, amqp=amqp),
        routes=EVERYTHING_UPSTREAM if arguments.manifest is None else read_manifest(arguments.manifest),
        certificates=arguments.certs,
        certificate_days=arguments.certificate_days,
        show=_say if arguments.show else None,
    )


# --- events -----------------------------------------------------------------------------------------------------------


def _add_events(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    events = _command(commands, "events", _events, "list what arrived")
    events.add_argument("--after", type=int, default=0, metavar="N", help="only those behind sequence number N")
    events.add_argument("--follow", action="store_true", help="go on with what arrives, until Ctrl-C")
    events.add_argument("--json", action="store_true", help="one JSON object a line, bodies whole")


def _events(arguments: argparse.Namespace) -> int:
    control = Control(arguments.dir)
    after, wait_s = arguments.after, 0.0
    while True:
        events = control.ask("GET", "/events", after=after, wait_s=wait_s)["events"]
        for event in events:
            _say(_json_line(event) if arguments.json else event_line(from_json(event)))
            after = event["sequence"]
        if not events and not arguments.follow:
            return DONE
        wait_s = _FOLLOW_WAIT_S if arguments.follow else 0.0


# --- devices ----------------------------------------------------------------------------------------------------------


def _add_devices(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    devices = commands.add_parser("devices", help="the registry")
    kinds = devices.add_subparsers(required=True, metavar="COMMAND")
    add = _command(kinds, "add", _add_device, "add a device, or a module as DEVICE/MODULE")
    add.add_argument("identity", metavar="DEVICE[/MODULE]")
    add.add_argument(
        "--key", action="append", default=[], help="primary, then secondary, in base64 (default: new ones)"
    )
    add.add_argument("--x509", action="store_true", help="it proves itself by a certificate of the CA folder")
    add.add_argument(
        "--thumbprint", action="append", default=[], help="… or by one with this thumbprint; may be repeated"
    )
    add.add_argument("--json", action="store_true", help="for programs")
    listing = _command(kinds, "list", _list_devices, "list devices and modules")
    listing.add_argument("--json", action="store_true", help="for programs")
    for name, run in (("enable", _enable_device), ("disable", _disable_device), ("remove", _remove_device)):
        command = _command(kinds, name, run, f"{name} a device or module")
        command.add_argument("identity", metavar="DEVICE[/MODULE]")


def _add_device(arguments: argparse.Namespace) -> int:
    body = {
        "identity": arguments.identity,
        "keys": arguments.key,
        "x509": arguments.x509 or bool(arguments.thumbprint),
        "thumbprints": arguments.thumbprint,
    }
    added = Control(arguments.dir).ask("POST", "/devices", body)
    _say(_json_line(added) if arguments.json else added["connectionString"])
    return DONE


def _list_devices(arguments: argparse.Namespace) -> int:
    answer = Control(arguments.dir).ask("GET", "/devices")
    if arguments.json:
        _say(_json_line(answer))
        return DONE
    for entry in answer["devices"]:
        state = "enabled" if entry["enabled"] else "disabled"
        connected = ", connected" if entry["connected"] else ""
        _say(f"{entry['identity']}  {entry['authentication']}, {state}{connected}")
    return DONE


def _enable_device(arguments: argparse.Namespace) -> int:
    return _set_enabled(arguments, enabled=True)


def _disable_device(arguments: argparse.Namespace) -> int:
    return _set_enabled(arguments, enabled=False)


def _set_enabled(arguments: argparse.Namespace, *, enabled: bool) -> int:
    control = Control(arguments.dir)
    answer = control.ask("PATCH", "/devices", {"enabled": enabled}, identity=arguments.identity)
    _say(f"{answer['identity']} is {'enabled' if enabled else 'disabled'}")
    return DONE


def _remove_device(arguments: argparse.Namespace) -> int:
    answer = Control(arguments.dir).ask("DELETE", "/devices", identity=arguments.identity)
    _say(f"{answer['identity']} is removed")
    return DONE


# --- twin, method, environment, status --------------------------------------------------------------------------------


def _add_twin(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    twin = commands.add_parser("twin", help="device twins and module twins")
    kinds = twin.add_subparsers(required=True, metavar="COMMAND")
    get = _command(kinds, "get", _get_twin, "print a twin as JSON")
    get.add_argument("identity", metavar="MODULE|DEVICE[/MODULE]")
    patch = _command(kinds, "set", _set_twin, "merge JSON into the desired properties")
    patch.add_argument("identity", metavar="MODULE|DEVICE[/MODULE]")
    patch.add_argument("patch", help="a JSON object, @FILE, or - for standard input; null removes a property")


def _get_twin(arguments: argparse.Namespace) -> int:
    answer = Control(arguments.dir).ask("GET", "/twin", identity=arguments.identity)
    _say(orjson.dumps(answer["properties"], option=orjson.OPT_INDENT_2).decode())
    return DONE


def _set_twin(arguments: argparse.Namespace) -> int:
    patch = _json_argument(arguments.patch)
    answer = Control(arguments.dir).ask("PATCH", "/twin", patch, identity=arguments.identity)
    _say(f"{answer['identity']} has desired version {answer['version']}")
    return DONE


def _add_method(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    method = _command(commands, "method", _method, "call a direct method and print the answer")
    method.add_argument("identity", metavar="MODULE|DEVICE[/MODULE]")
    method.add_argument("name")
    method.add_argument("payload", nargs="?", default="null", help="JSON, @FILE, or - (default: null)")
    method.add_argument("--timeout", type=float, default=30, metavar="S", help="for the answer (default: %(default)s)")
    method.add_argument("--connect-timeout", type=float, default=0, metavar="S", help="for the device to connect")


def _method(arguments: argparse.Namespace) -> int:
    call = {
        "methodName": arguments.name,
        "payload": _json_argument(arguments.payload),
        "responseTimeoutInSeconds": arguments.timeout,
        "connectTimeoutInSeconds": arguments.connect_timeout,
    }
    _say(_json_line(Control(arguments.dir).ask("POST", "/method", call, identity=arguments.identity)))
    return DONE


def _add_environment(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    environment = _command(commands, "environment", _environment, "print a module's IOTEDGE_* variables for a shell")
    environment.add_argument("module")


def _environment(arguments: argparse.Namespace) -> int:
    variables = Control(arguments.dir).ask("GET", "/environment", module=arguments.module)
    for name, value in variables.items():
        _say(f"export {name}={shlex.quote(value)}")
    return DONE


def _status(arguments: argparse.Namespace) -> int:
    status: JsonObject = Control(arguments.dir).ask("GET", "/status")
    if arguments.json:
        _say(_json_line(status))
        return DONE
    _say(f"{status['hub']} at {status['address']}, {status['events']} events")
    _say(f"connected: {', '.join(status['connected']) or 'nobody'}")
    for name, count in status["counters"].items():
        _say(f"{name}: {count}")
    return DONE


# --- in and out -------------------------------------------------------------------------------------------------------


def _json_argument(text: str) -> Any:
    """JSON given on the command line, in a file, or on standard input. Raises StandInError."""
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text()
        return orjson.loads(text)
    except OSError as error:
        raise StandInError(f"{text[1:]} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise StandInError(f"not JSON: {error}; write for example '{{\"on\": true}}', quoted for the shell.") from error


def _json_line(document: object) -> str:
    return orjson.dumps(document).decode()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _complain(text: str) -> None:
    sys.stderr.write(f"standin: {text}\n")
