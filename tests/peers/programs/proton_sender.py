"""A sender by Debian's python3-qpid-proton 0.37, run by Debian's own Python: SASL PLAIN, or EXTERNAL by certificate."""

import json
import sys
from typing import Any

from proton import Message, SSLDomain
from proton.handlers import MessagingHandler
from proton.reactor import Container

PLAN: dict[str, Any] = json.load(sys.stdin)


def say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


def tls() -> Any:
    domain = SSLDomain(SSLDomain.MODE_CLIENT)
    domain.set_trusted_ca_db(PLAN["ca"])
    # proton compares the server's name with DNS names only, and ours is an address (iothub_wire.md §0.5).
    domain.set_peer_authentication(SSLDomain.VERIFY_PEER)
    if "certificate" in PLAN:
        domain.set_credentials(PLAN["certificate"], PLAN["certificate_key"], None)
    return domain


class Sender(MessagingHandler):  # type: ignore[misc] # proton ships no types
    """Sends what the plan holds, waits until all of it is settled, closes."""

    def __init__(self) -> None:
        super().__init__(auto_settle=True)
        self.waiting = list(PLAN["messages"])
        self.unsettled = len(self.waiting)
        self.failed = False

    def on_start(self, event: Any) -> None:
        login = {"allowed_mechs": "EXTERNAL"}
        if "user" in PLAN:
            login = {"allowed_mechs": "PLAIN", "user": PLAN["user"], "password": PLAN["token"]}
        url = f"amqps://{PLAN['host']}:{PLAN['port']}"
        connection = event.container.connect(url, ssl_domain=tls(), reconnect=False, **login)
        event.container.create_sender(connection, f"/devices/{PLAN['device']}/messages/events")

    def on_connection_opened(self, event: Any) -> None:
        say("open")

    def on_sendable(self, event: Any) -> None:
        while self.waiting and event.sender.credit:
            entry = self.waiting.pop(0)
            message = Message(body=entry["body"].encode(), properties=entry.get("properties") or {})
            message.id = entry.get("id")
            message.content_type = entry.get("content_type")
            message.content_encoding = entry.get("content_encoding")
            message.inferred = True  # binary as a data section, not as a value
            event.sender.send(message)

    def on_accepted(self, event: Any) -> None:
        say("accepted")
        self.unsettled -= 1
        if not self.unsettled:
            event.connection.close()

    def on_rejected(self, event: Any) -> None:
        self.fail(event, event.delivery.remote.condition)

    def on_link_error(self, event: Any) -> None:
        self.fail(event, event.link.remote_condition)

    def on_connection_error(self, event: Any) -> None:
        self.fail(event, event.connection.remote_condition)

    def on_transport_error(self, event: Any) -> None:
        self.fail(event, event.transport.condition)

    def fail(self, event: Any, condition: Any) -> None:
        """Say why, once, and end."""
        if not self.failed:
            self.failed = True
            say("failed", name="condition", condition=condition.name, message=condition.description)
        event.connection.close()


def main() -> None:
    sender = Sender()
    Container(sender).run()
    if sender.failed:
        sys.exit(1)
    say("closed")


if __name__ == "__main__":
    main()
