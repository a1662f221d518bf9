"""A service that sends messages to devices by azure-iot-hub, whose AMQP is uamqp's.

The plan comes on stdin, in JSON; each thing that happens is one line of JSON.
"""

import json
import os
import sys
from typing import Any

PLAN: dict[str, Any] = json.load(sys.stdin)
os.environ["SSL_CERT_FILE"] = PLAN["ca"]  # uamqp's OpenSSL reads it once

from azure.iot.hub import IoTHubRegistryManager  # noqa: E402 - after the line above


def say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


def main() -> None:
    for entry in PLAN["messages"]:
        # One for each message: after a refusal uamqp's link is of no more use.
        service = IoTHubRegistryManager.from_connection_string(PLAN["connection"])
        try:
            service.send_c2d_message(entry["device"], entry["body"], entry.get("properties", {}))
            say("accepted", device=entry["device"])
        except Exception as error:  # noqa: BLE001 - what it raises has no class of its own
            say("refused", device=entry["device"], message=str(error))
        service.amqp_svc_client.disconnect_sync()
    say("closed")


if __name__ == "__main__":
    main()
