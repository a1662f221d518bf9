# Set-up over the serial line: one line of JSON, checked whole, then kept. Loaded only while it is needed.
# Cost: 1.2 KB .mpy, 0.6 KB of heap while it is loaded.
import json
import sys

import store

CONFIG = "/config.json"
_KINDS = ("claim", "label", "group")


def fault(config):
    # What is wrong with it, in a few words; None if nothing is.
    networks = config.get("wifi")
    if not isinstance(networks, list) or not 1 <= len(networks) <= 3:
        return "wifi: 1 to 3 networks"
    for one in networks:
        if not isinstance(one, dict) or not text(one.get("ssid"), 32) or not text(one.get("password", ""), 64, 0):
            return "wifi: ssid, password"
        if one.get("ip") and (not isinstance(one["ip"], list) or len(one["ip"]) != 4):
            return "wifi: ip is [address, mask, router, name server]"
    if not text(config.get("gateway"), 253):
        return "gateway: its name or address"
    for name in ("httpsPort", "httpPort"):
        if not isinstance(config.get(name, 1), int) or not 0 < config.get(name, 1) < 65536:
            return name + ": 1 to 65535"
    credential = config.get("credential")
    if not isinstance(credential, dict) or credential.get("kind") not in _KINDS:
        return "credential: kind is claim, label or group"
    if not text(credential.get("key" if credential["kind"] == "group" else "code"), 128):
        return "credential: code, or key of a group"
    root = config.get("root")
    if root is not None and (not isinstance(root, dict) or not text(root.get("n"), 1024)):
        return "root: n, in hex"
    return None


def text(value, most, least=1):
    return isinstance(value, str) and least <= len(value) <= most


def over_serial(line):
    # True if the line was a set-up that is kept now.
    try:
        config = json.loads(line)
        wrong = fault(config) if isinstance(config, dict) else "an object of JSON"
    except ValueError:
        wrong = "JSON"
    if wrong:
        print("SETUP?", wrong)
        return False
    store.save(CONFIG, config)
    print("SETUP OK")
    return True


def dialogue():
    # Until somebody has set us up. Ctrl-C leads to the prompt.
    print("SETUP? one line of JSON")
    while True:
        line = sys.stdin.readline()
        if not line:
            return False
        if line.strip() and over_serial(line):
            return True
