"""A module's createOptions as podman's options, one for one: so that what the template says is what is tested."""

from collections.abc import Callable, Mapping
from typing import Any, Final

Options = Mapping[str, Any]


def podman_options(options: Options, folders: Mapping[str, str]) -> list[str]:
    """The options of `podman create` that do what the engine of IoT Edge does with these createOptions.

    `folders`: which folder takes the place of one on the Edge device. An option that is not known here fails: it would
    be in the template and in no test.
    """
    host = options["HostConfig"]
    unknown = (set(options) - set(_CONTAINER) - {"HostConfig"}) | (set(host) - set(_HOST) - {"Binds"})
    assert not unknown, f"the template has {sorted(unknown)}, which tests/support/create_options.py does not know"
    found = [word for name, value in host.items() if name in _HOST for word in _HOST[name](value)]
    found += [word for name, value in options.items() if name in _CONTAINER for word in _CONTAINER[name](value)]
    return found + [word for bind in host.get("Binds", ()) for word in _bind(bind, folders)]


def _bind(bind: str, folders: Mapping[str, str]) -> list[str]:
    outside, colon, inside = bind.partition(":")
    return ["--volume", f"{folders[outside]}{colon}{inside}"]


def _publish(bindings: Mapping[str, list[Mapping[str, str]]]) -> list[str]:
    found = []
    for port, places in bindings.items():
        for place in places:
            address = f"{place['HostIp']}:" if place.get("HostIp") else ""
            found += ["--publish", f"{address}{place['HostPort']}:{port}"]
    return found


def _log(config: Mapping[str, Any]) -> list[str]:
    # podman has no driver "local"; its own one keeps one file of this size, where Docker's keeps as many as max-file.
    assert config["Type"] in {"local", "json-file"}
    return ["--log-driver", "k8s-file", "--log-opt", f"max-size={config['Config']['max-size']}"]


def _read_only(value: bool) -> list[str]:  # noqa: FBT001 - a value of the document
    # podman would put a tmpfs at /run and /var/tmp besides, which Docker does not.
    return ["--read-only", "--read-only-tmpfs=false"] if value else []


def _each(option: str) -> Callable[[list[str]], list[str]]:
    return lambda values: [word for value in values for word in (option, value)]


def _one(option: str) -> Callable[[Any], list[str]]:
    return lambda value: [option, str(value)]


_CONTAINER: Final[Mapping[str, Callable[[Any], list[str]]]] = {
    "User": _one("--user"),
    "StopTimeout": _one("--stop-timeout"),
    "ExposedPorts": lambda ports: [word for port in ports for word in ("--expose", port)],
}
_HOST: Final[Mapping[str, Callable[[Any], list[str]]]] = {
    "PortBindings": _publish,
    "ReadonlyRootfs": _read_only,
    "Tmpfs": lambda places: [word for place, how in places.items() for word in ("--tmpfs", f"{place}:{how}")],
    "CapDrop": _each("--cap-drop"),
    "SecurityOpt": _each("--security-opt"),
    "Memory": _one("--memory"),
    "PidsLimit": _one("--pids-limit"),
    "LogConfig": _log,
    "ExtraHosts": _each("--add-host"),
}
