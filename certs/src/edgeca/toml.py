"""The lines of IoT Edge's config.toml for one device."""

from pathlib import PurePosixPath
from urllib.parse import quote

from edgeca.errors import CaError, Refused
from edgeca.files import Entry
from edgeca.folder import Folder
from edgeca.names import names_as_text, parse_names
from edgeca.profiles import Kind

DEFAULT_PLACE = PurePosixPath("/etc/aziot/certificates")


def config_lines(folder: Folder, name: str, place: PurePosixPath = DEFAULT_PLACE, host_name: str | None = None) -> str:
    """What config.toml of the device `name` needs, once the files lie in `place` there.

    The identity is named too if there is one, and with `host_name` the name that devices dial.

    Raises Refused if `name` has no edge CA, CaError for a relative `place` or a name that cannot be.
    """
    if not place.is_absolute():
        raise CaError(f"--at {place}: name the folder on the device by its whole path, for example {DEFAULT_PLACE}")
    edge_ca = Entry(directory=folder.directory, kind=Kind.EDGE_CA, name=name)
    if not edge_ca.exists():
        raise Refused(f"there is no edge CA {name!r} in {folder.directory}; make one: edgeca edge-ca {name}")
    edge_id = Entry(directory=folder.directory, kind=Kind.EDGE_ID, name=name)
    found = [edge_ca, edge_id] if edge_id.exists() else [edge_ca]
    parts = [_copy_lines(folder, found, place), _trust_lines(place, host_name), _edge_ca_lines(edge_ca, place)]
    if edge_id.exists():
        parts.append(_identity_lines(edge_id, place))
    return "\n".join(parts)


def _remote(entry: Entry, file_name: str, place: PurePosixPath) -> str:
    return f"{place}/{entry.kind.value}-{file_name}"


def _uri(path: str) -> str:
    # The names we write are percent-encoded already; in a URI their % is itself encoded.
    return f"file://{quote(path)}"


def _copy_lines(folder: Folder, found: list[Entry], place: PurePosixPath) -> str:
    pairs = [(folder.directory / "trust-bundle.pem", f"{place}/trust-bundle.pem", "644 root root")]
    for entry in found:
        pairs.append((entry.full_chain_path, _remote(entry, entry.full_chain_path.name, place), "640 root aziotcs"))
        pairs.append((entry.key_path, _remote(entry, entry.key_path.name, place), "600 aziotks aziotks"))
    lines = ["# Copy these files to the device (mode, owner, group beside them):"]
    lines += [f"#   {source} -> {target}  ({owner})" for source, target, owner in pairs]
    lines += ["# put the lines below into /etc/aziot/config.toml, then run: sudo iotedge config apply", ""]
    return "\n".join(lines)


def _trust_lines(place: PurePosixPath, host_name: str | None) -> str:
    lines = ["# before the first [section]"]
    if host_name is not None:
        (name,) = names_as_text(parse_names([host_name]))[:1]
        lines.append(f'hostname = "{name}"')
    lines.append(f'trust_bundle_cert = "{_uri(f"{place}/trust-bundle.pem")}"')
    return "\n".join(lines) + "\n"


def _edge_ca_lines(entry: Entry, place: PurePosixPath) -> str:
    cert, key = (_uri(_remote(entry, path.name, place)) for path in (entry.full_chain_path, entry.key_path))
    return f'[edge_ca]\ncert = "{cert}"\npk = "{key}"\n'


def _identity_lines(entry: Entry, place: PurePosixPath) -> str:
    cert, key = (_uri(_remote(entry, path.name, place)) for path in (entry.full_chain_path, entry.key_path))
    return (
        "# With manual provisioning this section is called [provisioning.authentication] and has no registration_id.\n"
        f'[provisioning.attestation]\nmethod = "x509"\nregistration_id = "{entry.name}"\n'
        f'identity_cert = "{cert}"\nidentity_pk = "{key}"\n'
    )
