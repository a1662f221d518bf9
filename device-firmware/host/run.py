# Runs a board on this machine: run.py FLASH WORLD FAKES PROGRAM [MODULE]. FLASH is a file that holds its file system,
# WORLD the memory shared with the test, FAKES and PROGRAM are ROMFS images that are mapped, as flash is, outside of the
# heap. The file system of this machine is taken away before MODULE.main() is called. MODULE "boot": what is in FLASH
# decides, as on a board, and PROGRAM is the partition that it may write.
import gc
import sys

import ffi
import uctypes
import vfs

gc.threshold(1024)


def mapped(path, size, writable):
    libc = ffi.open("libc.so.6")
    if not size:
        import os

        size = os.stat(path)[6]
    file = libc.func("i", "open", "si")(path, 2 if writable else 0)
    where = libc.func("P", "mmap", "PLiiil")(0, size, 3 if writable else 1, 1, file, 0)
    return uctypes.bytearray_at(where, size)


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


_, flash, shared, fakes, program = sys.argv[:5]
module = sys.argv[5] if len(sys.argv) > 5 else "app"
disk = Disk(mapped(flash, 0, True))
fakes = vfs.VfsRom(mapped(fakes, 0, False))
partition = mapped(program, 0, module == "boot")
shared = mapped(shared, 1024, True)
vfs.umount("/")
try:
    vfs.mount(disk, "/")
except OSError:
    vfs.VfsLfs2.mkfs(disk)
    vfs.mount(disk, "/")
vfs.mount(fakes, "/host")
try:
    vfs.mount(vfs.VfsRom(partition), "/rom")
except OSError:
    pass  # nothing was put there yet
sys.path[:] = ["/host", "/rom", ".frozen"]
import hardware

hardware.shared = shared
for name in ("machine", "network", "ntptime", "onewire", "ds18x20"):
    sys.modules[name] = hardware
if module == "boot":
    import romflash

    romflash.view = memoryview(partition)
    sys.modules["vfs"] = romflash
    sys.path[:] = ["/host", ".frozen"]
    del romflash
del name, mapped, Disk, disk, fakes, program, partition, flash, shared, ffi, uctypes, vfs
gc.collect()
print("HEAP", gc.mem_free())
if module == "app":
    import board

    board.Board.NEED -= 9450  # so much of its 11,900 bytes TLS takes outside of the heap here
if module == "boot":
    for module in ("/boot.py", "/main.py"):
        exec(open(module).read())
else:
    __import__(module).main()
