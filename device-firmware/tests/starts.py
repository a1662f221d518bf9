# Starts of a board, one after the other, on a chip in memory: argv: the story to run. Each asserts what must hold.
import os
import sys
from binascii import hexlify
from hashlib import sha256

import chips
import slots
import starter
import store
import update
import vfs


class ResetError(Exception):
    pass


class Power:
    def __init__(self):
        self.crash = False
        self.pressed = False
        self.resets = 0

    def reset(self):
        self.resets += 1
        raise ResetError

    def crashed(self):
        return self.crash

    def button(self):
        return self.pressed


class Board:
    def __init__(self, rom=True):
        self.power = Power()
        disk = chips.Disk(chips.formatted(16), chips.Supply())
        self.rom = chips.Rom(bytearray(b"\xff" * 2 * chips.BLOCK), chips.Supply()) if rom else None
        vfs.umount("/")
        vfs.mount(vfs.VfsLfs2(disk), "/")

    def install(self, slot, serial, image=None):
        image = image or b"\xd2\xcd\x31 program %d " % serial * 40
        with open(update.path_of(slot), "wb") as file:
            file.write(image)
        digest = hexlify(sha256(image).digest()).decode()
        return {"version": str(serial), "serial": serial, "size": len(image), "sha256": digest, "format": "romfs"}

    def state(self, **changes):
        state = slots.load()
        state.update(changes)
        slots.save(state)

    def start(self):
        try:
            return starter.Starter(self.power, starter.Space(self.rom)).choose()
        except ResetError:
            return self.start()

    def runs(self):
        return bytes(self.rom.data[:13])


def with_program(**changes):
    board = Board()
    board.state(run="a", a=board.install("a", 1), **changes)
    return board


def first_start():
    board = with_program()
    assert board.start() == ("app", "/rom")
    assert board.runs() == b"\xd2\xcd\x31 program 1"
    assert board.power.resets == 1  # the interpreter mounts the partition before us
    assert board.start() == ("app", "/rom")
    assert board.power.resets == 1


def three_trials():
    board = with_program()
    board.start()
    board.state(b=board.install("b", 2), trial="b", left=slots.TRIALS)
    for left in (2, 1, 0):
        assert board.start() == ("app", "/rom")
        assert board.runs() == b"\xd2\xcd\x31 program 2"
        assert slots.load()["left"] == left
        assert slots.report()["state"] == "trial" and slots.report()["version"] == "2"
    assert board.start() == ("app", "/rom")
    assert board.runs() == b"\xd2\xcd\x31 program 1"
    told = slots.report()
    assert told == {"version": "1", "serial": 1, "state": "rolled-back", "failed": "2", "reason": "unconfirmed"}, told
    assert slots.load()["bad"] == 2


def confirmed():
    board = with_program()
    board.state(b=board.install("b", 2), trial="b", left=slots.TRIALS, failed="0", state="failed", crashes=2)
    board.start()
    slots.confirm()
    for _ in range(5):
        assert board.start() == ("app", "/rom")
        assert board.runs() == b"\xd2\xcd\x31 program 2"
    told = slots.report()
    assert told == {"version": "2", "serial": 2, "state": "running", "failed": None, "reason": None}, told


def confirm_writes_once():
    board = with_program()
    board.state(b=board.install("b", 2), trial="b", left=slots.TRIALS)
    board.start()
    slots.confirm()
    saved = []
    store.save = lambda path, value: saved.append(path)
    slots.confirm()
    assert not saved


def damaged_trial():
    board = with_program()
    about = board.install("b", 2)
    board.start()
    board.state(b=about, trial="b", left=slots.TRIALS)
    with open("/b.img", "wb") as file:
        file.write(b"something else")
    before = bytes(board.rom.data)
    assert board.start() == ("app", "/rom")
    assert bytes(board.rom.data) == before  # a good copy is not given up for a bad file
    assert slots.report()["state"] == "rolled-back" and slots.report()["reason"] == "damaged"


def damaged_partition():
    board = with_program()
    board.start()
    board.rom.data[100] ^= 1
    assert board.start() == ("app", "/rom")
    assert board.power.resets == 2
    assert board.runs() == b"\xd2\xcd\x31 program 1"


def nothing_left():
    board = with_program()
    board.start()
    board.rom.data[100] ^= 1
    store.remove("/a.img")
    assert board.start() == ("rescue", "/rescue")


def blank():
    assert Board().start() == ("rescue", "/rescue")


def too_large():
    board = Board()
    board.state(run="a", a=board.install("a", 1, b"x" * (2 * chips.BLOCK + 1)))
    assert board.start() == ("rescue", "/rescue")
    assert bytes(board.rom.data[:8]) == b"\xff" * 8


def button():
    board = with_program()
    board.power.pressed = True
    assert board.start() == ("rescue", "/rescue")


def crashes():
    board = with_program()
    board.start()
    board.power.crash = True
    for _ in range(10):
        assert board.start() == ("app", "/rom")
    assert board.start() == ("rescue", "/rescue")
    for _ in range(5):  # the rescue found nothing better: the program may try again
        assert board.start() == ("app", "/rom")
    assert board.start() == ("rescue", "/rescue")
    slots.confirm()
    for _ in range(10):
        assert board.start() == ("app", "/rom")


def power_is_no_crash():
    board = with_program()
    for _ in range(30):
        assert board.start() == ("app", "/rom")
    assert slots.load()["crashes"] == 0


def job():
    board = with_program()
    board.start()
    slots.order({"version": "2", "manifest": "/m", "more": "x"})
    assert slots.report()["state"] == "updating"
    for _ in range(3):  # its own copy of the updater, then the one that has worked before
        assert board.start() == ("rescue", "/rom")
    for _ in range(3):
        assert board.start() == ("rescue", "/rescue")
    assert board.start() == ("app", "/rom")
    told = slots.report()
    assert told == {"version": "1", "serial": 1, "state": "failed", "failed": "2", "reason": "link"}, told
    assert slots.load()["job"] is None


def folders():
    board = Board(rom=False)
    image = starter.MAGIC + b"\x03app" + b"\0\0\x02\x58" + b"a" * 600 + b"\x04more" + b"\0\0\0\x01b"
    board.state(run="a", a=board.install("a", 1, image))
    assert board.start() == ("app", "/a")
    assert sorted(os.listdir("/a")) == ["app", "more", "whole.json"]
    board.state(b=board.install("b", 2, image), trial="b", left=slots.TRIALS)
    assert board.start() == ("app", "/b")
    assert sorted(os.listdir("/a")) == ["app", "more", "whole.json"]


def evil_names():
    board = Board(rom=False)
    board.state(run="a", a=board.install("a", 1, starter.MAGIC + b"\x07../boot\0\0\0\x01b"))
    assert board.start() == ("rescue", "/rescue")
    assert sorted(os.listdir("/")) == ["a", "a.img", "boot.json"]


def resumed():
    board = with_program()
    about = board.install("b", 2)
    with open("/b.img", "rb") as file:
        image = file.read()
    stage = update.Stage(slots.load(), about, memoryview(bytearray(64)))
    assert stage.have == 0
    stage.write(memoryview(image)[:300])
    stage.close()
    stage = update.Stage(slots.load(), about, memoryview(bytearray(64)))
    assert stage.have == 300
    stage.write(memoryview(image)[300:])
    state = slots.load()
    stage.finish(state)
    assert slots.load()["trial"] == "b" and board.start() == ("app", "/rom")
    assert board.runs() == b"\xd2\xcd\x31 program 2"


def another_image():
    # What was left of one image is not taken for the beginning of the next.
    board = with_program()
    about = board.install("b", 2)
    stage = update.Stage(slots.load(), about, memoryview(bytearray(64)))
    stage.write(b"begun")
    stage.close()
    about["sha256"] = "0" * 64
    stage = update.Stage(slots.load(), about, memoryview(bytearray(64)))
    assert stage.have == 0
    stage.close()


def wrong_hash():
    board = with_program()
    about = board.install("b", 2)
    state = slots.load()
    stage = update.Stage(state, about, memoryview(bytearray(64)))
    stage.write(b"x" * about["size"])
    try:
        stage.finish(state)
        raise AssertionError("taken")
    except update.UpdateError as error:
        assert error.args == ("hash",)
    assert "b.img" not in os.listdir("/")
    assert slots.load()["trial"] is None and board.start() == ("app", "/rom")


def no_room():
    board = with_program()
    about = board.install("b", 2)
    about["size"] = 16 * chips.BLOCK
    try:
        update.Stage(slots.load(), about, memoryview(bytearray(64)))
        raise AssertionError("begun")
    except update.UpdateError as error:
        assert error.args == ("room",)


globals()[sys.argv[1]]()
print("held")
