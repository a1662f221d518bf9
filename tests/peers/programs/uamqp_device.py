"""A device by uamqp 1.6.11, the raw client of story S7: PLAIN as `device@sas.hub`, CBS, batches, WebSocket, own root.

The plan comes on stdin, in JSON; each thing that happens is one line of JSON. It is a program of its own because
uamqp may crash at its end when a link was refused (amqp.md §3).
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

import uamqp
from uamqp import authentication, errors
from uamqp.constants import TransportType

PLAN: dict[str, Any] = json.load(sys.stdin)


def say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


def credential() -> Any:
    transport = TransportType.AmqpOverWebsocket if PLAN.get("websocket") else TransportType.Amqp
    common = {"port": PLAN["port"], "verify": PLAN["ca"], "transport_type": transport}
    if PLAN["login"] == "plain":
        return authentication.SASLPlain(PLAN["host"], PLAN["user"], PLAN["token"], **common)
    if PLAN["login"] == "anonymous":
        return authentication.SASLAnonymous(PLAN["host"], **common)
    audience = f"{PLAN['hub']}/devices/{PLAN['device']}"
    uri = f"amqps://{PLAN['host']}/devices/{PLAN['device']}"
    return authentication.SASTokenAuth(audience, uri, PLAN["token"], expires_at=PLAN["expires_at"], **common)


def message(entry: dict[str, Any]) -> Any:
    properties = uamqp.message.MessageProperties(
        message_id=entry.get("id"),
        correlation_id=entry.get("correlation"),
        content_type=entry.get("content_type"),
        content_encoding=entry.get("content_encoding"),
    )
    return uamqp.Message(
        entry["body"].encode(), properties=properties, application_properties=entry.get("properties") or None
    )


def batch() -> Any:
    def messages() -> Iterator[Any]:
        yield from map(message, PLAN["batch"])

    return uamqp.message.BatchMessage(messages(), multi_messages=True)


def send() -> None:
    client = uamqp.SendClient(f"amqps://{PLAN['host']}/devices/{PLAN['device']}/messages/events", auth=credential())
    for entry in PLAN.get("messages", ()):
        client.queue_message(message(entry))
    if "batch" in PLAN:
        client.queue_message(batch())
    results = client.send_all_messages(close_on_done=False)
    for result in results:
        say("accepted" if result == uamqp.constants.MessageState.SendComplete else "refused", result=str(result))
    client.close()


def receive() -> None:
    source = f"amqps://{PLAN['host']}/devices/{PLAN['device']}/messages/devicebound"
    client = uamqp.ReceiveClient(source, auth=credential(), timeout=PLAN["receive_ms"])
    for received in client.receive_message_batch(max_batch_size=1):
        say("message", body=b"".join(received.get_data()).decode(), id=_text(received.properties.message_id))
        received.accept()
    client.close()


def _text(value: Any) -> Any:
    """Text of what may be bytes, or an enum of bytes."""
    plain = getattr(value, "value", value)
    return plain.decode() if isinstance(plain, bytes) else plain


def main() -> None:
    try:
        if "messages" in PLAN or "batch" in PLAN:
            send()
        if "receive_ms" in PLAN:
            receive()
    except (errors.AMQPError, errors.TokenAuthFailure) as error:
        condition = _text(getattr(error, "condition", None))
        say("failed", name=type(error).__name__, condition=condition, message=str(error))
        sys.exit(1)
    say("closed")


if __name__ == "__main__":
    main()
