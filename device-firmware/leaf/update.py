# The updater: runs after a restart in a heap of its own, without MQTT, because two TLS connections do not fit.
# Fetches a manifest and its image from the gateway, checks both, and leaves the image in a slot, on trial.
# What was written before a power cut is kept and the rest fetched.
# Cost: 3 KB .mpy, 2 KB of heap run in place; 1 KB for the piece in hand.
import json
import os
import sys
from binascii import a2b_base64, hexlify
from hashlib import sha256

import slots
import store
import web
from micropython import const
from slots import UpdateError

_PIECE = const(1024)  # bytes that are asked for at once; a manifest has less
_SYNC = const(4096)  # bytes after which the file is made safe; what is written later is fetched again
_IMAGE = const(256 * 1024)  # of the ESP8266's 320 KiB of ROMFS; the rest is the rescue's
_TEXT = const(40)
_PATH = const(160)
_TOKEN_S = const(3600)
KEY = "/rescue/release.key"  # 256 bytes: the modulus of the key that signs releases
API = "/firmware/v1/"


def signed_text(manifest):
    return "edge-firmware-1\n%s\n%s\n%d\n%d\n%s\n%s\n" % tuple(
        [manifest[name] for name in ("model", "version", "serial", "size", "sha256", "format")]
    )


def plain(text, limit=_TEXT):
    # No blank and no line end: those would let one text be read in two ways.
    return isinstance(text, str) and 0 < len(text) <= limit and all([32 < ord(c) < 127 for c in text])


def checked(body, key, model, form):
    # The manifest in `body`, if the release key stands behind every word of it and it is made for this board.
    try:
        manifest = json.loads(body)
        signature = a2b_base64(manifest["signature"])
        good = (
            bytes(body).strip()[-1:] == b"}"  # the board's reader takes an object without its end
            and plain(manifest["model"])
            and plain(manifest["version"])
            and type(manifest["serial"]) is int
            and manifest["serial"] > 0
            and type(manifest["size"]) is int
            and len(manifest["sha256"]) == 64
            and all([c in "0123456789abcdef" for c in manifest["sha256"]])
            and plain(manifest["format"])
        )
    except (ValueError, KeyError, TypeError):
        good = False
    if not good:
        raise UpdateError("manifest")
    if not key.signed(signature, sha256(signed_text(manifest).encode()).digest()):
        raise UpdateError("signature")
    if manifest["model"] != model:
        raise UpdateError("model")
    if manifest["format"] != form:
        raise UpdateError("format")
    if not 0 < manifest["size"] <= _IMAGE:
        raise UpdateError("size")
    return {name: manifest[name] for name in ("version", "serial", "size", "sha256", "format")}


def wanted(state, manifest, rescue):
    # Never older than what has proved itself. The rescue may put the same program there again, or one that failed.
    serial = manifest["serial"]
    for slot in (state["run"], state["trial"]):
        here = state[slot]["serial"] if slot and state[slot] else 0
        if not rescue and serial == here:
            raise UpdateError("same")
        if slot == state["run"] and serial < here:
            raise UpdateError("older")
    if serial == state["bad"] and not rescue:
        raise UpdateError("bad")


def path_of(slot):
    return "/" + slot + ".img"


class Stage:
    # The image of a manifest on its way into the slot that does not run. Goes on where a power cut has stopped it:
    # the state names the image before its first byte is written.
    def __init__(self, state, manifest, buffer):
        slot = slots.other(state["run"])
        self.slot = slot
        self._manifest = manifest
        self._hash = sha256()
        self.have = 0
        if state["trial"] or state[slot] or state["stage"] != manifest["sha256"]:
            state.update({"trial": None, "left": 0, slot: None, "stage": manifest["sha256"]})
            slots.save(state)
            store.remove(path_of(slot))
        else:
            self._resume(buffer)
        self._room()
        self._file = open(path_of(slot), "ab")
        self._unsafe = 0

    def _resume(self, view):
        try:
            with open(path_of(self.slot), "rb") as file:
                while True:
                    count = file.readinto(view)
                    if not count:
                        break
                    self._hash.update(view[:count])
                    self.have += count
        except OSError:
            pass  # it had not begun
        if self.have > self._manifest["size"]:
            raise UpdateError("size")

    def _room(self):
        stat = os.statvfs("/")
        if stat[0] * (stat[3] - 4) < self._manifest["size"] - self.have:
            raise UpdateError("room")

    def write(self, view):
        self._file.write(view)
        self._hash.update(view)
        self.have += len(view)
        self._unsafe += len(view)
        if self._unsafe >= _SYNC:
            self._file.flush()
            self._unsafe = 0

    def close(self):
        self._file.close()

    def finish(self, state):
        # On trial from here on, if it is what was signed. A wrong one is not kept to go on from.
        self.close()
        if hexlify(self._hash.digest()).decode() != self._manifest["sha256"]:
            store.remove(path_of(self.slot))
            raise UpdateError("hash")
        state[self.slot] = self._manifest
        state["stage"] = None
        slots.begin_trial(state, self.slot)
        slots.save(state)


def release_key():
    # Its code is in the heap only now.
    import rsa

    del sys.modules["rsa"]
    with open(KEY, "rb") as file:
        return rsa.Key(file.read())


def token_of(who, now):
    # Its code, too.
    import sas

    sys.modules.pop("sas", None)
    return sas.token(who["hub"] + "/devices/" + who["deviceId"], who["key"], now + _TOKEN_S)


class Updater:
    # `link` is open; `who`: the board's identity; `form`: what it can start, "romfs" or "files"; `now` in seconds since
    # 1970; `room`: a buffer for pieces; `idle` is called between them.
    def __init__(self, link, who, model, form, now, room, idle):
        self._link = link
        self._host = who["gateway"]
        self._model = model
        self._form = form
        self._headers = {"Authorization": token_of(who, now)}
        self._room = memoryview(room)[:_PIECE]
        self._idle = idle

    def _get(self, path):
        answer = web.request(self._link, self._host, "GET", path, self._headers)
        if answer.status != 200:
            raise UpdateError(str(answer.status))
        return answer

    def run(self, job):
        # The version that is on trial now. Without a job this is a rescue: what the gateway has for this board.
        state = slots.load()
        path = job and job["manifest"] or API + "manifests/" + self._model
        if not plain(path, _PATH):
            raise UpdateError("manifest")
        answer = self._get(path)
        if answer.size > len(self._room):
            raise UpdateError("manifest")
        body = self._room[: answer.readinto(self._room)]
        del answer
        manifest = checked(body, release_key(), self._model, self._form)
        if job and job["version"] not in (None, manifest["version"]):
            raise UpdateError("version")
        wanted(state, manifest, not job)
        stage = Stage(state, manifest, self._room)
        try:
            self._fetch(stage, manifest)
        finally:
            stage.close()
        stage.finish(state)
        return manifest["version"]

    def _fetch(self, stage, manifest):
        path = API + "images/" + manifest["sha256"] + "?offset="
        while stage.have < manifest["size"]:
            piece = self._room[: manifest["size"] - stage.have]
            answer = self._get(path + str(stage.have) + "&length=" + str(len(piece)))
            if answer.size != len(piece):
                raise UpdateError("size")
            answer.readinto(piece)
            stage.write(piece)
            self._idle()
