# A board's flash as a file: mkflash.py OUT BLOCKS NAME=PATH ... puts the files of this machine into its file system.
import os
import sys

import chips
import vfs

out, blocks = sys.argv[1:3]
files = []
for pair in sys.argv[3:]:
    name, path = pair.split("=")
    with open(path, "rb") as file:
        files.append((name, file.read()))
data = chips.formatted(int(blocks))
vfs.mount(vfs.VfsLfs2(chips.Disk(data, chips.Supply())), "/board")
for name, body in files:
    if "/" in name and name.split("/")[0] not in os.listdir("/board"):
        os.mkdir("/board/" + name.split("/")[0])
    with open("/board/" + name, "wb") as file:
        file.write(body)
vfs.umount("/board")
with open(out, "wb") as file:
    file.write(data)
print("written")
