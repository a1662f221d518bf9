"""All checks, in the order in which they are told, and how they are run: side by side, each with a deadline."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.doctor import clashes, clock, edge, folder, in_force, kept, listening, names, reach, room, served
from gateway.doctor.finding import Finding, NotCheckedError, Verdict, not_checked
from gateway.doctor.patient import Patient

CHECK_S: Final = 5.0
"""For one check; all run at once."""


class Needs(Enum):
    """What a check looks at, beside files."""

    MACHINE = "machine"
    """A gateway that runs here, or is to run here."""
    SETTINGS = "settings"
    """The same, and the environment that it has, or is to have."""
    NETWORK = "network"
    """That, and somebody outside."""
    DOCUMENT = "document"
    """Nothing but what was named on the command line, or is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the table. `help` is for docs/doctor.md."""

    name: str
    look: Callable[[Patient], Iterable[Finding]]
    needs: Needs
    help: str


def _check(name: str, look: Callable[[Patient], Iterable[Finding]], needs: Needs, text: str) -> Check:
    return Check(name=name, look=look, needs=needs, help=text)


_MACHINE, _SETTINGS, _NETWORK, _DOCUMENT = Needs.MACHINE, Needs.SETTINGS, Needs.NETWORK, Needs.DOCUMENT

CHECKS: Final = (
    _check("answers", in_force.check_answers, _MACHINE, "the gateway that runs: whether it answers"),
    _check("settings", in_force.check_settings, _SETTINGS, "the variables of the container"),
    _check(
        "routes", in_force.check_document, _DOCUMENT, "the settings document: routes, endpoints, limits of the store"
    ),
    _check(
        "edge-environment", edge.check_edge_environment, _SETTINGS, "the variables that IoT Edge or its simulator sets"
    ),
    _check("workload-api", edge.check_workload_api, _SETTINGS, "whether IoT Edge's daemon answers"),
    _check("clock", clock.check_year, _MACHINE, "the year: neither before this version was built nor far after"),
    _check(
        "clock-kept", clock.check_kept_time, _MACHINE, "the clock against the latest time that the gateway has seen"
    ),
    _check("clock-sync", clock.check_synchronisation, _MACHINE, "whether NTP or its like keeps the kernel's clock"),
    _check("clock-others", reach.check_clock_of_others, _NETWORK, "the clock against those whom the gateway dials"),
    _check(
        "host-name", names.check_host_name, _SETTINGS, "the name that devices dial: its form, and that it leads here"
    ),
    _check("names", names.check_upstream_names, _NETWORK, "hosts that the gateway dials have addresses"),
    _check("ports", listening.check_ports, _SETTINGS, "each listener's port: free, ours, or whose"),
    _check(
        "certificate",
        served.check_server_certificate,
        _SETTINGS,
        "the server certificate: key, names, dates, use, and the chain to the trust bundle with its path length",
    ),
    _check(
        "small-boards-certificate",
        served.check_small_boards_certificate,
        _SETTINGS,
        "the same of the listeners for small boards, and that it is RSA throughout",
    ),
    _check("trust", served.check_trust, _SETTINGS, "the authorities that devices' certificates must lead to"),
    _check(
        "revocation", served.check_revocation, _SETTINGS, "the lists of revoked certificates: readable, and not old"
    ),
    _check("data-folder", folder.check_data_folder, _MACHINE, "there, writable, ours, closed to others"),
    _check("disk-space", folder.check_disk_space, _MACHINE, "room for what the store may take, and names of files"),
    _check("disk-speed", folder.check_disk_speed, _MACHINE, "how long a sync takes"),
    _check("disk-kind", folder.check_disk_kind, _MACHINE, "the file system, and how it is mounted"),
    _check("store", kept.check_store, _MACHINE, "the store's version, and whether it is damaged"),
    _check("devices", kept.check_devices, _MACHINE, "the registry, and who may read the files with secrets"),
    _check("tokens", kept.check_tokens, _MACHINE, "tokens that devices have presented"),
    _check("secrets", kept.check_secrets, _SETTINGS, "connection strings, of the environment and of endpoints"),
    _check("upstream", reach.check_reachable, _NETWORK, "each place that the gateway dials, as far as its login"),
    _check("memory", room.check_memory, _SETTINGS, "the container's limit against what the connections may need"),
    _check("open-files", room.check_open_files, _MACHINE, "the limit of descriptors against the connections"),
    _check("deployment-ports", clashes.check_published_ports, _DOCUMENT, "ports that two containers publish, or none"),
    _check(
        "deployment-routes", clashes.check_hub_routes, _DOCUMENT, "a route of edgeHub for each output of the gateway"
    ),
    _check("deployment-times", clashes.check_times_to_live, _DOCUMENT, "edgeHub's time to live against the gateway's"),
    _check("deployment-loops", clashes.check_loops, _DOCUMENT, "routes of edgeHub that lead round, or to nobody"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found."""

    check: str
    finding: Finding

    def row(self) -> dict[str, str]:
        """For programs."""
        finding = self.finding
        return {
            "check": self.check,
            "verdict": finding.verdict.value,
            "says": finding.says,
            "follows": finding.follows,
            "fix": finding.fix,
        }


def examine(
    patient: Patient, *, offline: bool, checks: Sequence[Check] = CHECKS, within_s: float = CHECK_S
) -> list[Result]:
    """Run all checks at once; one that has not ended in time is said to be not checked, and left to itself."""
    give_up_at = time.monotonic() + within_s
    examinations = [_Examination(patient, check, offline=offline) for check in checks]
    for each in examinations:
        each.start()
    results: list[Result] = []
    for each in examinations:
        each.join(max(give_up_at - time.monotonic(), 0.0))
        results += (Result(each.check.name, finding) for finding in each.found(within_s))
    return results


class _Examination(threading.Thread):
    """One check; a daemon, for it may hang in the kernel, as at a dead network disk."""

    def __init__(self, patient: Patient, check: Check, *, offline: bool) -> None:
        super().__init__(name=f"check {check.name}", daemon=True)
        self.check = check
        self._patient = patient
        self._offline = offline
        self._done: list[Finding] | None = None

    def run(self) -> None:
        """See Thread."""
        self._done = look(self._patient, self.check, offline=self._offline)

    def found(self, within_s: float) -> list[Finding]:
        """What it came to by now."""
        done = self._done
        return [not_checked(f"it did not end within {within_s:g} s")] if done is None else done


def look(patient: Patient, check: Check, *, offline: bool) -> list[Finding]:
    """Run one check."""
    if check.needs is not Needs.DOCUMENT and not patient.is_here:
        return [
            not_checked("nothing says that a gateway runs on this machine: no GATEWAY_ or IOTEDGE_ variable is set")
        ]
    if check.needs in (Needs.SETTINGS, Needs.NETWORK) and not patient.has_environment:
        return [
            not_checked(
                "no gateway answers here, and this shell has none of its variables: run the command in its container, "
                "or with the environment that the gateway gets"
            )
        ]
    if check.needs is Needs.NETWORK and offline:
        return [not_checked("--offline")]
    found: list[Finding] = []
    try:
        found.extend(check.look(patient))
    except NotCheckedError as reason:
        found.append(not_checked(str(reason)))
    except Exception as error:  # noqa: BLE001 - one check that fails must not take the others along
        found.append(not_checked(f"the check itself failed: {type(error).__name__}: {error}"))
    return found


def worst(results: Iterable[Result]) -> Verdict:
    """The verdict on all of them."""
    found = {result.finding.verdict for result in results}
    for verdict in (Verdict.PROBLEM, Verdict.WARNING):
        if verdict in found:
            return verdict
    return Verdict.OK
