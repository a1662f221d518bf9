# Which program runs, which one is on trial, what failed: /boot.json. Cost: 1.2 KB .mpy, 1 KB of heap run in place.
#
# Two slots, "a" and "b". An image is the file /a.img or /b.img; what is said of it (version, serial, size, sha256,
# format) stands in the state under the slot's name, and only while the file is whole. `run` is the slot of the program
# that has proved itself, `trial` that of one that has not yet; a trial start is taken from `left` before it happens.
# `tried` counts starts of the updater for the job that is written down, `crashes` starts that no login followed.
# The file is a contract between this module in /rescue and in every program that will ever be installed: a field may
# be added, none may change its meaning.
import store
from micropython import const

STATE = "/boot.json"
TRIALS = const(3)  # starts of a new program without a confirmation, before the old one comes back


class UpdateError(Exception):
    pass  # manifest, version, model, format, size, same, older, bad, signature, room, hash, or a status as text


def load():
    # Without a file: the state of a board that has no program.
    state = {
        "run": None,
        "trial": None,
        "left": 0,
        "a": None,
        "b": None,
        "stage": None,  # sha256 of the image that is being fetched
        "job": None,
        "tried": 0,
        "crashes": 0,
        "state": None,  # how the last update ended, if not well: "rolled-back" or "failed"
        "failed": None,  # the version that it was about
        "reason": None,
        "bad": 0,  # serial of the last program that was rolled back: it is not taken again
    }
    state.update(store.load(STATE) or {})
    return state


def save(state):
    store.save(STATE, state)


def other(slot):
    # The slot that may be overwritten while the program of `slot` is the one to keep.
    return "a" if slot == "b" else "b"


def confirm():
    # The program has logged in and one of its messages was acknowledged. True, and written, only if that is news.
    state = load()
    if state["trial"]:
        state.update({"run": state["trial"], "trial": None, "left": 0, "crashes": 0})
        state.update({"state": None, "failed": None, "reason": None})
    elif state["crashes"]:
        state["crashes"] = 0
    else:
        return False
    save(state)
    return True


def order(job):
    # Write down what the method `update` asked for; the updater sees to it after the next start.
    state = load()
    state.update({"job": {"version": job.get("version"), "manifest": job.get("manifest")}, "tried": 0})
    save(state)


def end_job(state, reason):
    # The job led to nothing; the caller saves the state.
    version = (state["job"] or {}).get("version")
    state.update({"job": None, "tried": 0, "state": "failed", "failed": version, "reason": reason})


def begin_trial(state, slot):
    # The image in `slot` is whole and shall prove itself; the caller saves the state.
    state.update({"trial": slot, "left": TRIALS, "job": None, "tried": 0, "crashes": 0})


def roll_back(state, reason):
    # The program on trial did not prove itself: the one before it runs again. The caller saves the state.
    bad = state[state["trial"]] or {}
    state.update({"trial": None, "left": 0, "state": "rolled-back", "failed": bad.get("version"), "reason": reason})
    state["bad"] = bad.get("serial", 0)


def report():
    # What the reported property `firmware` says.
    state = load()
    slot = state[state["trial"] or state["run"] or "a"] or {}
    if state["trial"]:
        what = "trial"
    elif state["job"]:
        what = "updating"
    else:
        what = state["state"] or "running"
    return {
        "version": slot.get("version"),
        "serial": slot.get("serial", 0),
        "state": what,
        "failed": state["failed"],
        "reason": state["reason"],
    }
