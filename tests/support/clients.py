"""The clients of others, by the names that docs/compatibility.md has for them."""

from enum import Enum
from typing import Final

TRANSPORTS: Final = {
    "mqtt": "MQTT",
    "mqtt3": "MQTT 3.1.1",
    "mqtt3-ws": "MQTT 3.1.1 over WebSocket",
    "mqtt5": "MQTT 5",
    "mqtt5-ws": "MQTT 5 over WebSocket",
    "mqtt-ws": "MQTT over WebSocket",
    "amqp": "AMQP",
    "amqp-ws": "AMQP over WebSocket",
    "http": "HTTPS",
}
"""By the names that the plans of our programs have for them."""
PLAIN: Final = "SASL PLAIN"
CBS: Final = "CBS"
X509: Final = "X.509"


class Client(Enum):
    """A library or program, and the language it is used from."""

    PYTHON_DEVICE = "azure-iot-device (Python)"
    PYTHON_MODULE = "azure-iot-device, module (Python)"
    PYTHON_PROVISIONING = "azure-iot-device, provisioning (Python)"
    PYTHON_SERVICE = "azure-iot-hub (Python)"
    PYTHON_EVENTS = "azure-eventhub (Python)"
    PYTHON_EVENTS_AMQP = "azure-eventhub's own AMQP as a device (Python)"
    NODE_DEVICE = "azure-iot-device (Node)"
    NODE_MODULE = "azure-iot-device, module (Node)"
    NODE_DEVICES_MODULE = "azure-iot-device, module of a leaf device (Node)"
    NODE_PROVISIONING = "azure-iot-provisioning-device (Node)"
    NODE_SERVICE = "azure-iothub (Node)"
    NODE_EVENTS = "@azure/event-hubs (Node)"
    MOSQUITTO = "mosquitto_pub and mosquitto_sub (C)"
    MOSQUITTO_BRIDGE = "mosquitto's bridge (C)"
    MQTT_JS = "MQTT.js (Node)"
    NODE_RED = "Node-RED's MQTT nodes (Node)"
    NODE_RED_IOT_HUB = "node-red-contrib-azure-iot-hub (Node)"
    PAHO = "paho-mqtt (Python)"
    PROTON = "qpid-proton (Python)"
    RHEA = "rhea (Node)"
    UAMQP = "uamqp (Python)"

    def over(self, transport: str, login: str | None = None) -> str:
        """The row of this client over this transport, with this login where the client has several."""
        parts = (self.value, TRANSPORTS[transport], login)
        return ", ".join(part for part in parts if part is not None)

    def over_each(self, *transports: str, login: str | None = None) -> dict[str, str]:
        """Its rows by transport."""
        return {transport: self.over(transport, login) for transport in transports}
