# The ROMFS partition, from which programs run in place. Its last 64 KiB are the rescue's (boot.py). Cost: 0.7 KB .mpy, 0.9 KB of heap.
import vfs
from micropython import const

_RESCUE = const(65536)


class Partition:
    def __init__(self):
        self._view = memoryview(vfs.rom_ioctl(2, 0))
        self.size = len(self._view) - _RESCUE

    def read(self, at, view):
        # A copy: flash is slow to read byte by byte.
        view[:] = self._view[at : at + len(view)]

    def erase(self, size):
        # From the beginning, in whole sectors.
        vfs.rom_ioctl(3, 0, size)

    def write(self, at, view):
        # `at` and the length are multiples of 4.
        if vfs.rom_ioctl(4, 0, at, view) < 0:
            raise OSError("partition")

    def done(self):
        vfs.rom_ioctl(5, 0)  # ports that have nothing to finish answer EINVAL


def find():
    # None: this board has no ROMFS and runs its program from a folder.
    if hasattr(vfs, "rom_ioctl") and vfs.rom_ioctl(1) > 0:
        return Partition()
    return None


def form():
    # The format of image that this board starts.
    return "romfs" if find() else "files"
