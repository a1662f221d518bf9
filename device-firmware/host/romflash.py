# The partition of an ESP8266 as its `vfs` offers it; run.py puts this module in that one's place for whoever asks.
from vfs import VfsRom, mount

view = None  # put here by run.py


def rom_ioctl(request, part=0, at=0, data=None):
    if request == 1:
        return 1
    if request == 2:
        return view
    if request == 3:
        for sector in range(0, at, 4096):
            view[sector : sector + 4096] = b"\xff" * len(view[sector : sector + 4096])
        return 4
    if request == 4:
        view[at : at + len(data)] = data
        return 0
    return -22
