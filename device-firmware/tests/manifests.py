# What the updater says of manifests. argv: file with the key's modulus, file with a list of {"body" in base64, "state"
# or null, "rescue"}. Prints a list of codes, "" for one that is taken.
import json
import sys
from binascii import a2b_base64

import rsa
import slots
import update

STATE = {"run": "a", "trial": None, "a": {"serial": 5}, "b": None, "bad": 0}


def code(key, case):
    state = dict(STATE)
    state.update(case["state"] or {})
    try:
        manifest = update.checked(a2b_base64(case["body"]), key, "nodemcu", "romfs")
        update.wanted(state, manifest, case["rescue"])
    except update.UpdateError as error:
        return error.args[0]
    return ""


with open(sys.argv[1], "rb") as file:
    key = rsa.Key(file.read())
with open(sys.argv[2]) as file:
    print(json.dumps([code(key, json.loads(line)) for line in file]))
