"""What the command prints: for people, and as JSON for programs."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from edgeca.durations import in_words
from edgeca.folder import Made
from edgeca.inspection import Description, Problem
from edgeca.profiles import Kind
from edgeca.revoking import RevokedNow, Written

# What the files of an entry are, in the order of `Entry.paths`.
_FILES: Final = ("certificate", "key", "chain", "full chain")

_NEXT_STEPS: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.ROOT: "give trust-bundle.pem to devices; keep root.key.pem off the gateway",
        Kind.EDGE_CA: "the lines for config.toml: edgeca toml NAME",
        Kind.EDGE_ID: "the lines for config.toml: edgeca toml NAME",
        Kind.DEVICE: "create the device in IoT Hub as 'X.509 CA signed'; the root must be registered there",
        Kind.SELF_SIGNED: "create the device in IoT Hub as 'X.509 self-signed' with the primary and the secondary "
        "thumbprint, both SHA-1 or both SHA-256",
        Kind.PROOF: "upload the certificate where the verification code was shown",
    }
)


_AFTER_RENEWAL: Final[Mapping[Kind, str]] = MappingProxyType(
    {
        Kind.ROOT: "give trust-bundle.pem to all who trust the root; its key stays, so nothing else must be made anew",
        Kind.ISSUING: "the chains below hold it; put them where the old ones are served",
        Kind.EDGE_CA: "copy the files that edgeca toml NAME names to the device, and there: sudo iotedge config apply",
        Kind.EDGE_ID: "copy the files that edgeca toml NAME names to the device, and there: sudo iotedge config apply",
        Kind.SERVER: "write chain and key over those the server uses; our gateway takes them within seconds",
        Kind.DEVICE: "put certificate and key on the device NAME",
        Kind.SELF_SIGNED: "register the new thumbprint of NAME first, then put certificate and key on the device",
        Kind.PROOF: "upload the certificate where the verification code was shown",
    }
)


def made_text(made: Iterable[tuple[Made, Description]]) -> str:
    """The outcome of a wish, and all a person needs to use the result."""
    blocks, next_step = [], ""
    for each, description in made:
        outcome = "made" if each.changed else "nothing to do, it is there already"
        lines = [f"{each.entry.label}: {outcome}", *_details(description)]
        if each.retired is not None:
            lines.append(_row("old one", each.retired))
        blocks.append("\n".join(lines))
        next_step = next_step or _NEXT_STEPS.get(each.entry.kind, "").replace("NAME", each.entry.name)
    return "\n".join([*blocks, *([f"next: {next_step}"] if next_step else [])])


def renewed_text(made: Iterable[tuple[Made, Description]], left_alone: Sequence[str]) -> str:
    """What was renewed, where the old one lies, and what is left to do."""
    blocks, steps = [], dict[str, None]()
    for each, description in made:
        blocks.append(
            "\n".join([f"{each.entry.label}: renewed", *_details(description), _row("old one", each.retired)])
        )
        steps[_AFTER_RENEWAL[each.entry.kind].replace("NAME", each.entry.name)] = None
    if not blocks:
        blocks.append("nothing to renew")
    if left_alone:
        blocks.append(f"left alone, renew them by name: {', '.join(left_alone)}")
    if steps:
        old = "the old ones stay good until their end; to end one before: edgeca revoke --serial SERIAL"
        steps[old] = None
    return "\n".join([*blocks, *(f"next: {step}" for step in steps)])


def revoked_text(done: Iterable[RevokedNow], written: Iterable[Written], both: Path) -> str:
    """What was revoked, and the lists that say so."""
    lines = []
    for each in done:
        outcome = "revoked" if each.changed else f"nothing to do, it was revoked on {each.line.at:%Y-%m-%d}"
        lines.append(f"{each.target.label}: {outcome} ({each.line.reason.value}), list of {each.target.issuer.value}")
    return "\n".join([*lines, lists_text(written, both)])


def lists_text(written: Iterable[Written], both: Path) -> str:
    """The lists as they are on disk."""
    lines = []
    for each in written:
        outcome = "signed" if each.changed else "nothing to do, it is fresh"
        count = len(each.crl.revoked)
        lines.append(f"revocation list of {each.kind.value}: {outcome}")
        lines.append(_row("number", f"{each.crl.number}, {count} certificate{'s' * (count != 1)}"))
        lines.append(_row("next due", f"{each.crl.until:%Y-%m-%d}"))
        lines.append(_row("list", each.path))
    return "\n".join([*lines, f"next: copy {both} to the gateway, where GATEWAY_CRL_FILE names it"])


def revoked_json(each: RevokedNow) -> dict[str, object]:
    """A line of a list, for a program."""
    return {
        "label": each.target.label,
        "serial": f"{each.line.serial:X}",
        "issuer": each.target.issuer.value,
        "revokedAt": _time(each.line.at),
        "reason": each.line.reason.value,
        "changed": each.changed,
    }


def list_json(each: Written) -> dict[str, object]:
    """A list, for a program."""
    return {
        "issuer": each.kind.value,
        "number": each.crl.number,
        "revoked": len(each.crl.revoked),
        "nextUpdate": _time(each.crl.until),
        "file": str(each.path),
        "changed": each.changed,
    }


def description_text(description: Description) -> str:
    """One certificate in a few lines."""
    return "\n".join([f"{description.kind.value} {description.name}".strip(), *_details(description)])


def problem_text(problem: Problem) -> str:
    """What is wrong and what to do about it."""
    return f"{problem.label}: {problem.what}\n  what to do: {problem.remedy}"


def _details(description: Description) -> Iterator[str]:
    if description.names:
        yield _row("names", ", ".join(description.names))
    yield _row("subject", description.common_name)
    if description.revoked is not None:
        yield _row("revoked", f"{description.revoked.at:%Y-%m-%d %H:%M} UTC, {description.revoked.reason.value}")
    yield _row("until", f"{description.ends_at:%Y-%m-%d %H:%M} UTC ({_left(description)}), {description.key}")
    if len(description.chain) > 1:
        yield _row("signed by", " < ".join(description.chain[1:]))
    yield _row("SHA-1", description.sha1)
    yield _row("SHA-256", description.sha256)
    for what, path in zip(_FILES, description.files, strict=False):
        yield _row(what, path)


def _left(description: Description) -> str:
    if description.left.total_seconds() <= 0:
        return "it has ended"
    return f"{in_words(description.left)} left"


def _row(what: str, value: object) -> str:
    return f"  {what:<12}{value}"


def made_json(made: Made, description: Description) -> dict[str, object]:
    """The outcome of a wish for a program."""
    old = None if made.retired is None else str(made.retired)
    return {**description_json(description), "changed": made.changed, "retired": old}


def description_json(description: Description) -> dict[str, object]:
    """One certificate for a program."""
    paths = zip(("certificate", "key", "chain", "fullChain"), map(str, description.files), strict=False)
    return {
        "kind": description.kind.value,
        "name": description.name,
        "commonName": description.common_name,
        "names": list(description.names),
        "key": description.key,
        "serial": description.serial,
        "thumbprintSha1": description.sha1,
        "thumbprintSha256": description.sha256,
        "startsAt": _time(description.starts_at),
        "endsAt": _time(description.ends_at),
        "daysLeft": description.days_left,
        "chain": list(description.chain),
        "revokedAt": None if description.revoked is None else _time(description.revoked.at),
        "files": dict(paths),
    }


def problem_json(problem: Problem) -> dict[str, object]:
    """What is wrong, for a program."""
    return {"label": problem.label, "what": problem.what, "remedy": problem.remedy}


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
