# What must survive, as small JSON files: written beside the old one, then renamed over it, which LittleFS does whole or
# not at all. Cost: 0.4 KB .mpy, 0.3 KB of heap run in place.
import json
import os


def load(path):
    # A dict, or None where there is none or none that can be read.
    try:
        with open(path) as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def save(path, values):
    with open(path + ".new", "w") as file:
        json.dump(values, file)
    os.rename(path + ".new", path)


def remove(path):
    try:
        os.remove(path)
    except OSError:
        pass  # it was not there
