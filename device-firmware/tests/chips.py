# Flash chips in memory, all on one supply that fails at a chosen operation.
import vfs

BLOCK = 4096
HALF, NONE, ALL, NOISE = range(4)  # what the operation that is cut has done already


class Supply:
    # `fuse`: operations until the power fails; None: it never does.
    def __init__(self, fuse=None, tear=HALF):
        self.fuse = fuse
        self.tear = tear
        self.operations = 0
        self.dead = False

    def done(self, size):
        # How many of `size` bytes an operation changes now.
        if self.dead:
            return 0
        self.operations += 1
        if self.fuse is None or self.operations <= self.fuse:
            return size
        self.dead = True
        return (size // 2, 0, size, size // 2)[self.tear]


class Chip:
    # NOR flash: writing clears bits, erasing sets those of a block. One object per life: after a cut the old one, with
    # whatever still holds it, can change nothing any more.
    def __init__(self, data, supply):
        self.data = data
        self.supply = supply

    def write(self, at, buf):
        if self.supply.dead:
            return -5
        size = self.supply.done(len(buf))
        old = int.from_bytes(self.data[at : at + size], "big")
        new = int.from_bytes(bytes(memoryview(buf)[:size]), "big")
        assert self.supply.dead or old & new == new, "written twice without an erase"
        self.data[at : at + size] = (old & new).to_bytes(size, "big")
        if self.supply.dead and self.supply.tear == NOISE and size < len(buf):
            self.data[at + size] &= buf[size] | 0xA5
        return -5 if self.supply.dead else 0

    def erase(self, at):
        if self.supply.dead:
            return -5
        size = self.supply.done(BLOCK)
        self.data[at : at + size] = b"\xff" * size
        if self.supply.dead and self.supply.tear == NOISE:
            self.data[at + size] |= 0x5A
        return -5 if self.supply.dead else 0


class Disk(Chip):
    # What LittleFS is put on, as the board's own driver offers it.
    def readblocks(self, block, buf, at=0):
        if self.supply.dead:
            return -5
        at += block * BLOCK
        buf[:] = self.data[at : at + len(buf)]
        return 0

    def writeblocks(self, block, buf, at=0):
        return self.write(block * BLOCK + at, buf)

    def ioctl(self, request, arg):
        if request == 4:
            return len(self.data) // BLOCK
        if request == 5:
            return BLOCK
        if request == 6:
            return self.erase(arg * BLOCK)
        return 0


class Rom(Chip):
    # The ROMFS partition: what boot/partition.py is for the starter.
    def __init__(self, data, supply):
        super().__init__(data, supply)
        self.size = len(data)

    def read(self, at, view):
        view[:] = self.data[at : at + len(view)]

    def erase(self, size):
        for at in range(0, size, BLOCK):
            if super().erase(at):
                raise OSError(5)

    def write(self, at, view):
        assert at % 4 == 0 and len(view) % 4 == 0
        if super().write(at, view):
            raise OSError(5)

    def done(self):
        pass


def formatted(blocks):
    data = bytearray(b"\xff" * (BLOCK * blocks))
    vfs.VfsLfs2.mkfs(Disk(data, Supply()))
    return data
