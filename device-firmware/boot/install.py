# Puts the rescue into its part of the ROMFS partition; the tools run it once, on a board whose /rescue.img they have
# written. What is in the partition goes: the starter puts the program there at the next start.
import os

import vfs

view = memoryview(vfs.rom_ioctl(2, 0))
at = len(view) - 65536
vfs.rom_ioctl(3, 0, len(view))
with open("/rescue.img", "rb") as file:
    while True:
        piece = bytearray(file.read(512))
        if not piece:
            break
        piece.extend(b"\xff" * (-len(piece) % 4))
        if vfs.rom_ioctl(4, 0, at, piece) < 0:
            raise OSError("partition")
        at += len(piece)
vfs.rom_ioctl(5, 0)
os.remove("/rescue.img")
print("rescue installed")
