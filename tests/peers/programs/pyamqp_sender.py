"""A sender by the pure-Python client inside azure-eventhub 5.15: SASL PLAIN or CBS, single messages and batches."""

import json
import sys
import time
from typing import Any

from azure.eventhub._pyamqp._encode import encode_payload
from azure.eventhub._pyamqp.authentication import AccessToken, JWTTokenAuth, SASLPlainAuth
from azure.eventhub._pyamqp.client import SendClient
from azure.eventhub._pyamqp.error import AMQPException
from azure.eventhub._pyamqp.message import BatchMessage, Message, Properties

PLAN: dict[str, Any] = json.load(sys.stdin)
READY_S = 30.0


def say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


def credential() -> Any:
    if PLAN["login"] == "plain":
        return SASLPlainAuth(PLAN["user"], PLAN["token"])
    return JWTTokenAuth(
        f"amqps://{PLAN['hub']}/devices/{PLAN['device']}",
        f"{PLAN['hub']}/devices/{PLAN['device']}",
        lambda: AccessToken(PLAN["token"], PLAN["expires_at"]),
        token_type=b"servicebus.windows.net:sastoken",
    )


def message(entry: dict[str, Any]) -> Any:
    return Message(
        data=[entry["body"].encode()],
        properties=Properties(
            message_id=entry.get("id"),
            content_type=entry.get("content_type"),
            content_encoding=entry.get("content_encoding"),
        ),
        application_properties=entry.get("properties"),
    )


def batch() -> Any:
    """Whole messages in data sections of one transfer."""
    return BatchMessage(data=[bytes(encode_payload(bytearray(), message(entry))) for entry in PLAN["batch"]])


def send() -> None:
    target = f"amqps://{PLAN['host']}/devices/{PLAN['device']}/messages/events"
    client = SendClient(PLAN["host"], target, auth=credential(), connection_verify=PLAN["ca"])
    client.open()
    give_up_at = time.monotonic() + READY_S
    while not client.client_ready():
        if time.monotonic() > give_up_at:
            raise TimeoutError("the link did not open")
    say("open")
    for entry in PLAN["messages"]:
        client.send_message(message(entry))
        say("accepted")
    if "batch" in PLAN:
        client.send_message(batch())
        say("accepted")
    client.close()


def main() -> None:
    try:
        send()
    except (AMQPException, TimeoutError, ValueError) as error:  # a ValueError is what it makes of a refused login
        condition = getattr(error, "condition", None)
        plain = getattr(condition, "value", condition)
        text = plain.decode() if isinstance(plain, bytes) else plain
        say("failed", name=type(error).__name__, condition=text, message=str(error))
        sys.exit(1)
    say("closed")


if __name__ == "__main__":
    main()
