# Runs a board on this machine: run.py DOUBLES FLASH WORLD PROGRAM [MODULE]. All four are files that are mapped outside
# of the heap: ROMFS images of the doubles of the hardware and of the program, the flash with the board's file system,
# the memory shared with the test. Everything else stands in start.py, which runs in place and so costs little heap.
import sys

import ffi
import uctypes
import vfs

_libc = ffi.open("libc.so.6")
_open = _libc.func("i", "open", "si")
_map = _libc.func("P", "mmap", "PLiiil")
vfs.mount(vfs.VfsRom(uctypes.bytearray_at(_map(0, 65536, 1, 1, _open(sys.argv[1], 0), 0), 65536)), "/host")
sys.path[:] = ["/host", "/rom", ".frozen"]
__import__("start").main(_open, _map)
