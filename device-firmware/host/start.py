# The rest of run.py: the file system of this machine is taken away, the board's put in its place, its program started.
import gc
import os
import sys

import uctypes
import vfs

gc.threshold(1024)


class Disk:
    # LittleFS's blocks, in memory that is the file.
    def __init__(self, data):
        self._data = memoryview(data)

    def readblocks(self, block, buf, at=0):
        at += block * 4096
        buf[:] = self._data[at : at + len(buf)]

    def writeblocks(self, block, buf, at=0):
        at += block * 4096
        self._data[at : at + len(buf)] = buf

    def ioctl(self, request, arg):
        return {4: len(self._data) // 4096, 5: 4096}.get(request, 0)


def mount(open_, map_):
    def mapped(path, mode):
        size = os.stat(path)[6]
        return uctypes.bytearray_at(map_(0, size, 3 if mode else 1, 1, open_(path, mode), 0), size)

    disk = Disk(mapped(sys.argv[2], 2))
    shared = mapped(sys.argv[3], 2)
    partition = mapped(sys.argv[4], 2)
    vfs.umount("/")
    try:
        vfs.mount(disk, "/")
    except OSError:
        vfs.VfsLfs2.mkfs(disk)
        vfs.mount(disk, "/")
    try:
        vfs.mount(vfs.VfsRom(partition), "/rom")
    except OSError:
        pass  # nothing was put there yet: power_up.py
    return shared, partition


def main(open_, map_):
    import hardware

    hardware.shared, hardware.partition = mount(open_, map_)
    for name in ("machine", "network", "ntptime", "onewire", "ds18x20"):
        sys.modules[name] = hardware
    module = "app"
    for name in sys.argv[5:]:
        if name == "esp32":
            __import__(name)
        else:
            module = name
    del sys.argv[:]
    del hardware
    gc.collect()
    print("HEAP", gc.mem_free())
    __import__(module).main()
