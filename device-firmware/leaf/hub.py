# IoT Hub's conventions on MQTT: topics with the bag of what we send, twin and methods. Same rules as the gateway's
# edgewire.iothub. Cost: 1.6 KB .mpy, 0.9 KB of heap run in place.
import json

_API = "/?api-version=2021-04-12"
_JSON = "%24.ct=application%2Fjson&%24.ce=utf-8"  # content type and encoding, so that the hub can route by the body
_METHODS = "$iothub/methods/POST/"
_TWIN = "$iothub/twin/"


def split(text, mark):
    # Before and behind it; boards have no str.partition.
    at = text.find(mark)
    return (text, "") if at < 0 else (text[:at], text[at + len(mark) :])


class Hub:
    # `switch(word)`, `method(name, object) -> (status, dict)` and `desired(patch)` are called by `on_message`;
    # answers wait in `replies` (topic, payload), a few at most.
    def __init__(self, hub, device, switch, method, desired):
        self.client_id = device
        self.user = hub + "/" + device + _API
        self.resource = hub + "/devices/" + device
        self.events = "devices/" + device + "/messages/events/" + _JSON
        self._devicebound = "devices/" + device + "/messages/devicebound/"
        self._switch = switch
        self._method = method
        self._desired = desired
        self._rid = 0
        self.replies = []
        self.drops = 0  # answers that found no room, documents that could not be read

    def topics(self):
        return (
            self._devicebound + "#",
            _METHODS + "#",
            _TWIN + "res/#",
            _TWIN + "PATCH/properties/desired/#",
        )

    def ask_twin(self):
        self._reply(_TWIN + "GET/?$rid=" + self._next(), b"")

    def report(self, values):
        self._reply(_TWIN + "PATCH/properties/reported/?$rid=" + self._next(), json.dumps(values).encode())

    def _next(self):
        self._rid += 1
        return str(self._rid)

    def _reply(self, topic, payload):
        if len(self.replies) >= 4:
            self.drops += 1
        else:
            self.replies.append((topic, payload))

    def on_message(self, topic, payload):
        if topic.startswith(self._devicebound):
            self._switch(bytes(payload))
        elif topic.startswith(_METHODS):
            name, rid = split(topic[len(_METHODS) :], "/?$rid=")
            try:
                said = json.loads(bytes(payload))
            except ValueError:
                said = None
            status, answer = self._method(name, said if isinstance(said, dict) else {})
            self._reply("$iothub/methods/res/" + str(status) + "/?$rid=" + rid, json.dumps(answer).encode())
        elif topic.startswith(_TWIN + "PATCH/properties/desired/"):
            self._take(payload, None)
        elif topic.startswith(_TWIN + "res/200/") and len(payload):
            self._take(payload, "desired")

    def _take(self, payload, section):
        try:
            found = json.loads(bytes(payload))
            found = found[section] if section else found
        except (ValueError, KeyError, TypeError):
            found = None
        if isinstance(found, dict):
            self._desired(found)
        else:
            self.drops += 1
