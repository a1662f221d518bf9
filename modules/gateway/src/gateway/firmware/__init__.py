"""Firmware of boards: what there is of it, who gets which version, and roll-outs that stop by themselves.

A bundle (`bundle`) is taken in whole or not at all, and served in pieces (`store`); a roll-out is a table of states
(`rollout`), kept on disk (`book`) and driven by what boards do and report (`director`). Nothing here can sign: boards
check by themselves that the release key signed what they get, and this room only spares them what they would refuse.

In the data folder, below `firmware/`: `manifests/{model}/{version}.json`, `images/{SHA-256}`, `rollout.json`. A site
without that folder loads nothing of this room.
"""
