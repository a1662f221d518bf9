"""What `gateway firmware` asks of the gateway that runs: roll-outs and pins."""

from collections.abc import Mapping
from typing import Any, Final

from edgewire.iothub.ids import is_id
from gateway.app.control import QuestionError
from gateway.firmware.bundle import is_name
from gateway.firmware.director import Director, RolloutError
from gateway.firmware.rollout import MAX_AT_ONCE, MAX_SILENT_S, MIN_SILENT_S, Amount, AmountError, Order, Terms

ORDERS: Final = {"pause": Order.PAUSE, "resume": Order.RESUME, "abort": Order.ABORT}


async def answer(director: Director, question: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer to one question, which says what to `do`. Raises QuestionError."""
    try:
        return await _answer(director, question)
    except RolloutError as error:
        raise QuestionError(error.status, str(error)) from error


async def _answer(director: Director, question: Mapping[str, Any]) -> Mapping[str, Any]:
    do = str(question.get("do"))
    if do == "status":
        return director.status()
    if do == "rollout":
        return await director.start(_name(question, "version"), _model(question), _terms(question))
    if do in ORDERS:
        return await director.order(ORDERS[do], _model(question))
    if do == "pin":
        return await director.pin(_device(question), _name(question, "version"))
    if do == "unpin":
        return await director.unpin(_device(question))
    raise QuestionError(400, f"this gateway's firmware knows no '{do}'; another version's command may have asked")


def _terms(question: Mapping[str, Any]) -> Terms:
    usual = Terms()
    at_once, silent_s = question.get("atOnce", usual.at_once), question.get("silentSecs", usual.silent_s)
    if isinstance(at_once, bool) or not isinstance(at_once, int) or not 1 <= at_once <= MAX_AT_ONCE:
        raise QuestionError(400, f"so many at once must be from 1 to {MAX_AT_ONCE}, and not {at_once!r}")
    is_number = isinstance(silent_s, int | float) and not isinstance(silent_s, bool)
    if not is_number or not MIN_SILENT_S <= silent_s <= MAX_SILENT_S:
        raise QuestionError(400, f"the time of silence must be {MIN_SILENT_S:g} to {MAX_SILENT_S:g} s")
    return Terms(
        canary=_amount(question, "canary", usual.canary),
        max_failures=_amount(question, "maxFailures", usual.max_failures),
        at_once=at_once,
        silent_s=float(silent_s),
    )


def _amount(question: Mapping[str, Any], name: str, usual: Amount) -> Amount:
    value = question.get(name)
    if value is None:
        return usual
    try:
        return Amount.parse(str(value))
    except AmountError as error:
        raise QuestionError(400, f"{name}: {error}") from error


def _name(question: Mapping[str, Any], name: str) -> str:
    value = question.get(name)
    if not isinstance(value, str) or not is_name(value):
        raise QuestionError(400, f"{value!r} is no {name}")
    return value


def _model(question: Mapping[str, Any]) -> str | None:
    return None if question.get("model") is None else _name(question, "model")


def _device(question: Mapping[str, Any]) -> str:
    value = question.get("device")
    if not isinstance(value, str) or not is_id(value):
        raise QuestionError(400, f"{value!r} is no id of a device")
    return value
