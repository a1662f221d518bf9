# Cuts the power at every operation of the flash in turn: of an update, an activation, a roll-back and a change of the
# configuration. After each cut the board is started until it runs a program; that program must be whole, and the update
# must still be taken. argv: image format, scenario, sabotage ("-" for none), file with the release key's modulus, and
# per program (version 1, 2) its manifest and its image. Prints what was counted.
import json
import os
import sys

import rsa
import chips
import slots
import starter
import store
import update
import vfs

WHO = {"gateway": "gw", "hub": "hub", "deviceId": "d", "key": "AAAA"}
CONFIG = {"wifi": [{"ssid": "one"}]}
OTHER = {"wifi": [{"ssid": "two"}], "interval": 5}
STARTS = 12  # that a board may need until it runs a program, restarts after copying included


def release_key():
    # Loaded already: the file system of this machine is away when it is asked for.
    with open(update.KEY, "rb") as file:
        return rsa.Key(file.read())


def token_of(who, now):
    return "token"


update.release_key = release_key
update.token_of = token_of


class ResetError(Exception):
    pass


class Power:
    def reset(self):
        raise ResetError

    def crashed(self):
        return False

    def button(self):
        return False


class Gateway:
    # The link's end where nothing is lost: answers each request from memory.
    def __init__(self, manifests, images):
        self.manifests = manifests
        self.images = images
        self.asked = []

    def write(self, view):
        path = bytes(view).split(b" ")[1].decode()
        self.asked.append(path)
        if path in self.manifests:
            body = self.manifests[path]
        else:
            digest, query = path[len(update.API + "images/") :].split("?")
            at, length = [int(pair.split("=")[1]) for pair in query.split("&")]
            body = self.images[digest][at : at + length]
        self.answer = memoryview(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def read(self, view):
        count = min(len(view), len(self.answer))
        view[:count] = self.answer[:count]
        self.answer = self.answer[count:]
        return count


class World:
    # One board with its chips, and the gateway it is told to get version 2 from.
    def __init__(self, form, key, programs):
        self.form = form
        self.key = key
        self.programs = programs
        self.gateway = Gateway(
            {"/2": programs[1][0]},
            {about["sha256"]: image for _, image, about in programs},
        )

    def power(self, disk, rom, supply=None):
        self.supply = supply or chips.Supply()
        self.disk = chips.Disk(disk, self.supply)
        self.rom = chips.Rom(rom, self.supply) if self.form == "romfs" else None
        self.mount()

    def mount(self):
        vfs.umount("/")
        vfs.mount(vfs.VfsLfs2(self.disk), "/")

    def snapshot(self):
        return bytes(self.disk.data), bytes(self.rom.data) if self.rom else b""

    def restore(self, held, supply=None):
        # The power comes back to chips that hold this.
        self.power(bytearray(held[0]), bytearray(held[1]), supply)

    def blank(self):
        self.power(chips.formatted(40), bytearray(b"\xff" * 4 * chips.BLOCK))
        os.mkdir("/rescue")
        with open(update.KEY, "wb") as file:
            file.write(self.key)
        store.save("/config.json", CONFIG)

    def install(self, number, slot):
        # A file that is whole, and what is said of it.
        _, image, about = self.programs[number - 1]
        with open(update.path_of(slot), "wb") as file:
            file.write(image)
        state = slots.load()
        state[slot] = about
        slots.save(state)

    def start(self):
        # One start: ("app", version that runs) or what else it led to.
        self.mount()
        try:
            name, path = starter.Starter(Power(), starter.Space(self.rom)).choose()
        except ResetError:
            return "copied", None
        if name == "app":
            return name, self.version_at(path)
        job = slots.load()["job"]
        if not job:
            return "rescue", None
        update.Updater(self.gateway, WHO, "m", self.form, 0, bytearray(1024), int).run(job)
        return "updated", None

    def version_at(self, path):
        # Of the program that is whole where it runs; None if none is.
        for _, image, about in self.programs:
            if self.rom:
                found = bytes(self.rom.data[: len(image)])
            else:
                found = unpacked(path)
                image = entries(image)
            if found == image:
                return about["version"]
        return None

    def run(self):
        # Start until a program runs: its version, None for a board without one.
        for _ in range(STARTS):
            what, version = self.start()
            if what == "app":
                return version
            if what == "rescue":
                return None
        return None


def entries(image):
    found = {}
    at = 4
    while at < len(image):
        end = at + 1 + image[at]
        size = int.from_bytes(image[end : end + 4], "big")
        found[image[at + 1 : end].decode()] = image[end + 4 : end + 4 + size]
        at = end + 4 + size
    return found


def unpacked(path):
    found = {}
    for name in os.listdir(path):
        with open(path + "/" + name, "rb") as file:
            found[name] = file.read()
    found.pop("whole.json")
    return found


def take_update(world):
    slots.order({"version": "2", "manifest": "/2"})
    version = world.run()
    slots.confirm()
    return version


class Update:
    # From the method to the confirmation.
    TWICE = False

    def prepare(self, world):
        world.install(1, "a")
        state = slots.load()
        state["run"] = "a"
        slots.save(state)
        assert world.run() == "1"

    def act(self, world):
        return take_update(world)

    def good(self, world, version):
        if version == "1":
            version = take_update(world)
        slots.confirm()
        return version == "2" and world.run() == "2" and slots.report()["state"] == "running"


class Activation(Update):
    # From an image on trial to the confirmation.
    def prepare(self, world):
        super().prepare(world)
        world.install(2, "b")
        state = slots.load()
        slots.begin_trial(state, "b")
        slots.save(state)

    def act(self, world):
        version = world.run()
        slots.confirm()
        return version


class Twice(Activation):
    # The power fails again while the board recovers, at every operation again.
    TWICE = True


class RollBack(Activation):
    # A program that never confirms: to the one before it.
    def prepare(self, world):
        super().prepare(world)
        for _ in range(slots.TRIALS):
            assert world.run() == "2"

    def act(self, world):
        return world.run()

    def good(self, world, version):
        return version == "1" and world.run() == "1" and slots.report()["state"] == "rolled-back"


class Settings(Update):
    # A change of the configuration.
    def act(self, world):
        store.save("/config.json", OTHER)
        return world.run()

    def good(self, world, version):
        if store.load("/config.json") not in (CONFIG, OTHER):
            return False
        return super().good(world, version)


SCENARIOS = {"update": Update, "activation": Activation, "twice": Twice, "rollback": RollBack, "settings": Settings}


def put_believing(space, slot, about):
    # Says that the work is done before it is.
    store.save("/in-place.json", {"sha256": about["sha256"]})
    with open(update.path_of(slot), "rb") as file:
        if space._rom:
            space._copy(file, about["size"])
        else:
            space._unpack(file, slot, about["sha256"])
    return True


def holds_believing(space, slot, about):
    return store.load("/in-place.json") == {"sha256": about["sha256"]}


def sabotage(what):
    # Mistakes that the test has to find.
    if what == "believe":
        starter.Space.holds = holds_believing
        starter.Space.put = put_believing
    elif what == "one-slot":
        slots.other = lambda slot: slot or "a"


def main(form, scenario, mistake, key, *files):
    with open(key, "rb") as file:
        key = file.read()
    programs = []
    for at in (0, 2):
        with open(files[at], "rb") as file:
            manifest = file.read()
        with open(files[at + 1], "rb") as file:
            image = file.read()
        about = json.loads(manifest)
        programs.append((manifest, image, {k: about[k] for k in ("version", "serial", "size", "sha256", "format")}))
    world = World(form, key, programs)
    story = SCENARIOS[scenario]()
    world.blank()
    story.prepare(world)
    before = world.snapshot()
    sabotage(mistake)
    cuts = bricks = 0
    for tear in (chips.HALF, chips.NONE, chips.ALL, chips.NOISE) if mistake == "-" else (chips.HALF,):
        for after in cuts_of(world, story, before, tear, story.act):
            cuts += 1
            if not story.TWICE:
                bricks += not survived(world, story)
                continue
            for _ in cuts_of(world, story, after, tear, lambda world: world.run()):
                cuts += 1
                bricks += not survived(world, story)
    print(json.dumps({"cuts": cuts, "bricks": bricks}))


def cuts_of(world, story, before, tear, act):
    # Cut the power at every operation of `act` in turn: what the chips hold then, with the power back.
    fuse = 0
    while True:
        world.restore(before, chips.Supply(fuse, tear))
        try:
            version = act(world)
        except OSError:
            version = None
        if not world.supply.dead:
            world.supply.fuse = None
            assert story.good(world, version), "without a cut"
            return
        after = world.snapshot()
        world.restore(after)
        yield after
        fuse += 1


def survived(world, story):
    try:
        return story.good(world, world.run())
    except (OSError, update.UpdateError, ValueError, KeyError, TypeError, AttributeError):
        return False


main(*sys.argv[1:])
