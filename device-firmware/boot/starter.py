# What happens between the power and the program: a trial is counted or rolled back, the image of the program is put
# where it runs, then it runs. Nothing here is ever replaced over the air. Cost: 2.2 KB .mpy, 1.5 KB of heap,
# most of it given back before the program starts.
#
# A power cut may come at every operation of the flash. So the state is written in one step (store.save), what it says
# is done again until it is done, and an image is believed by its hash alone: the partition's, at every start.
import os
import sys
from binascii import hexlify
from hashlib import sha256

import slots
import store
from micropython import const

_BUFFER = const(512)
_CRASHES = const(10)  # starts in a row that were no power-up and that no login followed
_AGAIN = const(5)  # starts that are left to the program after a rescue that has found nothing better
_UPDATES = const(6)  # starts of the updater for one job, the second half from /rescue
MAGIC = b"EFP1"  # an image of format "files": then per file length of the name, name, size (4, big endian), bytes


class Space:
    # Where programs run: the partition, or a folder per slot on boards without one.
    def __init__(self, rom):
        self._rom = rom
        self.form = "romfs" if rom else "files"
        self._buffer = bytearray(_BUFFER)

    def path(self, slot):
        return "/rom" if self._rom else "/" + slot

    def holds(self, slot, about):
        # Whether the whole image of this slot is where it runs.
        if self._rom:
            if about["size"] > self._rom.size:
                return False
            return self._digest(self._rom_pieces(about["size"])) == about["sha256"]
        return (store.load("/" + slot + "/whole.json") or {}).get("sha256") == about["sha256"]

    def put(self, slot, about):
        # Put it there. False if the file is not what it should be: then nothing was touched.
        name = "/" + slot + ".img"
        try:
            with open(name, "rb") as file:
                if self._digest(self._file_pieces(file)) != about["sha256"]:
                    return False
            with open(name, "rb") as file:
                if self._rom:
                    self._copy(file, about["size"])
                else:
                    self._unpack(file, slot, about["sha256"])
        except OSError:
            return False
        return self.holds(slot, about)

    def _digest(self, pieces):
        total = sha256()
        for piece in pieces:
            total.update(piece)
        return hexlify(total.digest()).decode()

    def _rom_pieces(self, size):
        view = memoryview(self._buffer)
        for at in range(0, size, _BUFFER):
            piece = view[: min(_BUFFER, size - at)]
            self._rom.read(at, piece)
            yield piece

    def _file_pieces(self, file):
        view = memoryview(self._buffer)
        while True:
            count = file.readinto(view)
            if not count:
                return
            yield view[:count]

    def _copy(self, file, size):
        # The first piece comes last: without it the partition is no file system, and nothing is started from a half.
        if size > self._rom.size:
            raise OSError("size")
        self._rom.erase(size)
        view = memoryview(self._buffer)
        for at in list(range(_BUFFER, size, _BUFFER)) + [0]:
            file.seek(at)
            count = file.readinto(view)
            while count % 4:
                view[count] = 0xFF
                count += 1
            self._rom.write(at, view[:count])
        self._rom.done()

    def _unpack(self, file, slot, digest):
        # The folder is believed by the file that is written last and removed first.
        folder = "/" + slot
        try:
            os.mkdir(folder)
        except OSError:
            store.remove(folder + "/whole.json")
        for name in os.listdir(folder):
            os.remove(folder + "/" + name)
        if file.read(4) != MAGIC:
            raise OSError("format")
        while True:
            length = file.read(1)
            if not length:
                break
            name = file.read(length[0]).decode()
            if "/" in name:
                raise OSError("format")
            self._extract(file, folder + "/" + name, int.from_bytes(file.read(4), "big"))
        store.save(folder + "/whole.json", {"sha256": digest})

    def _extract(self, file, path, size):
        view = memoryview(self._buffer)
        with open(path, "wb") as out:
            while size:
                count = file.readinto(view[: min(_BUFFER, size)])
                if not count:
                    raise OSError("format")
                out.write(view[:count])
                size -= count


class Starter:
    def __init__(self, power, space):
        # power.reset() does not return.
        self._power = power
        self._space = space

    def choose(self):
        # The module to start and the folder it is in. Resets the board where the partition was written: the
        # interpreter has mounted it before us.
        state = slots.load()
        if self._power.crashed() and not state["job"]:
            state["crashes"] += 1
            slots.save(state)
        if state["crashes"] > _CRASHES:
            state["crashes"] = _CRASHES - _AGAIN
            slots.save(state)
            return "rescue", "/rescue"
        if state["trial"] and state["left"] <= 0:
            slots.roll_back(state, "unconfirmed")
            slots.save(state)
        if self._power.button():
            return "rescue", "/rescue"
        slot = self._ready(state)
        if state["job"]:
            return self._updater(state, slot)
        if slot is None:
            return "rescue", "/rescue"
        if slot == state["trial"]:
            state["left"] -= 1
            slots.save(state)
        return "app", self._space.path(slot)

    def _ready(self, state):
        # The slot to start, its image in place; None without any.
        if state["trial"]:
            if self._placed(state, state["trial"]):
                return state["trial"]
            slots.roll_back(state, "damaged")
            slots.save(state)
        if state["run"] and self._placed(state, state["run"]):
            return state["run"]
        return None

    def _placed(self, state, slot):
        about = state[slot]
        if not about:
            return False
        if self._space.holds(slot, about):
            return True
        if not self._space.put(slot, about):
            return False
        if self._space.form == "romfs":
            self._power.reset()
        return True

    def _updater(self, state, slot):
        # A start of the updater is counted before it happens. The program's copy goes first, for that one can be
        # repaired over the air; after three failures the one in /rescue is used, which has worked before.
        if state["tried"] >= _UPDATES:
            slots.end_job(state, state["job"].get("reason", "link"))
            slots.save(state)
            return ("app", self._space.path(slot)) if slot else ("rescue", "/rescue")
        state["tried"] += 1
        slots.save(state)
        if slot is None or state["tried"] > _UPDATES // 2:
            return "rescue", "/rescue"
        return "rescue", self._space.path(slot)


def main():
    # The name of the module that main.py starts, in a heap without us: what stays is found through sys.path.
    import partition
    from power import Power

    space = Space(partition.find())
    name, path = Starter(Power(), space).choose()
    del space._buffer
    if path != "/rescue":
        sys.path.remove("/rescue")
        sys.path.insert(0, path)
    del sys.modules["go"], sys.modules["starter"]
    for module in ("partition", "power", "slots", "store"):
        sys.modules.pop(module).__dict__.clear()
    return name
