# What happens on a board after its power came: boot.py and main.py from its flash decide. To them this module is `vfs`,
# with the partition of an ESP8266.
import sys

import hardware
from vfs import VfsRom, mount


def rom_ioctl(request, part=0, at=0, data=None):
    view = memoryview(hardware.partition)
    if request == 1:
        return len(view) > 65536  # or there is none
    if request == 2:
        return view if len(view) > 65536 else -22
    if request == 3:
        for sector in range(0, at, 4096):
            view[sector : sector + 4096] = b"\xff" * min(4096, len(view) - sector)
        return 4
    if request == 4:
        view[at : at + len(data)] = data
        return 0
    return -22


def main():
    sys.modules["vfs"] = sys.modules.pop("power_up")
    sys.path[:] = ["/host", ".frozen"]
    execfile("/boot.py")
    execfile("/main.py")
