# What must survive, as small JSON files: written beside the old one, then renamed over it, which LittleFS does whole or
# not at all. Cost: 0.5 KB .mpy, 0.3 KB of heap run in place.
import json
import os


class Store:
    def __init__(self, folder=""):
        self._folder = folder

    def load(self, name):
        # A dict, or None where there is none or none that can be read.
        try:
            with open(self._folder + "/" + name + ".json") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def save(self, name, values):
        path = self._folder + "/" + name
        with open(path + ".new", "w") as file:
            json.dump(values, file)
        os.rename(path + ".new", path + ".json")

    def remove(self, name):
        try:
            os.remove(self._folder + "/" + name + ".json")
        except OSError:
            pass  # it was not there
