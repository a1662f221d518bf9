"""The settings: of the container, and the document with the routes."""

from collections.abc import Iterator

from gateway.app.asking import WHAT_TO_DO
from gateway.app.configuration import sentence
from gateway.doctor.finding import Finding, NotCheckedError, ok, problem, warning
from gateway.doctor.patient import STATUS_S, Patient

NOT_STARTED = "the gateway does not start"


def check_settings(patient: Patient) -> Iterator[Finding]:
    """The variables of the container."""
    for complaint in patient.complaints:
        says, _, fix = complaint.rpartition(": ") if ": " in complaint else (complaint, "", "")
        yield problem(says or complaint, NOT_STARTED, fix or "correct or unset the variable; docs/settings.md has all")
    environment = patient.environment
    if environment is None:
        return
    if not environment.host_name and not environment.hub_name:
        yield problem(
            "neither GATEWAY_HOST_NAME nor GATEWAY_HUB_NAME is set, nor what IoT Edge sets in their place",
            NOT_STARTED,
            "set GATEWAY_HOST_NAME to the name that devices dial",
        )
    elif environment.certificate_file is None and not patient.is_in_container:
        yield problem(
            "no certificate is set, and outside of IoT Edge none is issued",
            NOT_STARTED,
            "set GATEWAY_CERTIFICATE_FILE and GATEWAY_KEY_FILE (edgeca server NAME makes both)",
        )
    else:
        yield ok("the variables of the container are good")


def check_answers(patient: Patient) -> Iterator[Finding]:
    """Whether the gateway that runs answers, and how it is by its own words."""
    running = patient.running
    if running is None:
        raise NotCheckedError("none runs here. A dead one is examined as far as its files tell")
    if running.status is None:
        who = "" if running.pid is None else f" (process {running.pid})"
        yield problem(
            f"a gateway runs here{who}, and did not answer within {STATUS_S:g} s: it hangs",
            "devices are not served",
            WHAT_TO_DO,
        )
        return
    yield ok("the gateway that runs here answers")


def check_document(patient: Patient) -> Iterator[Finding]:
    """Routes and all else of the settings document that counts."""
    running = patient.running
    status = None if running is None else running.status
    if status is not None and not status["settings"]["lastOfferWasGood"]:
        yield problem(
            "the last settings that came were bad, and the ones before stay in force",
            "what was meant to change has not",
            "the reported properties and the log name each problem; gateway check FILE does so before they are sent",
        )
    reading = patient.reading
    if reading is None and patient.environment is not None and patient.environment.settings_file is not None:
        yield problem(
            f"{patient.reading_name} cannot be read, or is no JSON",
            "what it says is not in force: the last good settings are, or else everything goes to $upstream",
            f"gateway check {patient.reading_name} says what is wrong, and where",
        )
        return
    if reading is None:
        raise NotCheckedError(
            f"no settings have come yet: {patient.reading_name} is not there or cannot be read. Until then everything "
            "goes to $upstream"
        )
    for each in reading.problems:
        yield problem(
            f"{patient.reading_name}: {sentence(each)}",
            "these settings are refused as a whole; the last good ones stay in force",
            f"correct it, and look again: gateway check {patient.reading_name}",
        )
    for each in reading.warnings:
        yield warning(f"{patient.reading_name}: {sentence(each)}", "a route may do something else than it seems to", "")
    if reading.settings is not None and not reading.warnings:
        yield ok(f"{patient.reading_name}: {len(reading.settings.routes)} routes, nothing wrong with them")
