"""A reader of events by azure-eventhub: what there is to read, then one read after the other, over TCP or WebSocket.

The plan comes on stdin, in JSON; each thing that happens is one line of JSON.
"""

import json
import sys
import threading
from datetime import UTC, datetime
from typing import Any

from azure.eventhub import EventData, EventHubConsumerClient, PartitionContext, TransportType
from azure.eventhub.exceptions import EventHubError

PLAN: dict[str, Any] = json.load(sys.stdin)
PATIENCE_S = 50.0


def say(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


def make_client() -> EventHubConsumerClient:
    websocket = PLAN.get("websocket", False)
    return EventHubConsumerClient.from_connection_string(
        PLAN["connection"],
        consumer_group=PLAN.get("group", "$Default"),
        connection_verify=PLAN["ca"],
        transport_type=TransportType.AmqpOverWebsocket if websocket else TransportType.Amqp,
        retry_total=0,
    )


def milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def ask(client: EventHubConsumerClient) -> None:
    hub = client.get_eventhub_properties()
    say("hub", name=hub["eventhub_name"], partitions=hub["partition_ids"], created_at=milliseconds(hub["created_at"]))
    for partition in hub["partition_ids"]:
        found = client.get_partition_properties(partition)
        say(
            "partition",
            id=found["id"],
            first=found["beginning_sequence_number"],
            last=found["last_enqueued_sequence_number"],
            offset=found["last_enqueued_offset"],
            empty=found["is_empty"],
        )


def position_of(read: dict[str, Any]) -> Any:
    if "time_ms" in read:
        return datetime.fromtimestamp(read["time_ms"] / 1000, UTC)
    return read["position"]


class Reading:
    """One read, until it has had its events or was told that it has no part in them."""

    def __init__(self, read: dict[str, Any]) -> None:
        self.read = read
        self.left = read["count"]
        self.over = threading.Event()

    def on_event(self, context: PartitionContext, event: EventData | None) -> None:
        assert event is not None  # without a longest wait there is one
        assert event.enqueued_time is not None
        self.left -= 1
        annotations = event.raw_amqp_message.annotations or {}
        say(
            "read",
            partition=context.partition_id,
            body=event.body_as_str(),
            offset=event.offset,
            number=event.sequence_number,
            enqueued_at_ms=milliseconds(event.enqueued_time),
            properties=texts(event.properties),
            system=texts(event.system_properties),
            content_type=event.content_type,
            message_id=event.message_id,
            annotations=sorted(map(text, annotations)),
            end=self.end_of(context) if self.read.get("track") else None,
        )
        if self.left == 0:
            self.over.set()

    def end_of(self, context: PartitionContext) -> dict[str, Any]:
        found = context.last_enqueued_event_properties or {}
        return {"number": found.get("sequence_number"), "offset": found.get("offset")}

    def on_error(self, _: PartitionContext | None, error: Exception) -> None:
        say("read failed", name=type(error).__name__, message=str(error))
        self.over.set()

    def on_initialized(self, _: PartitionContext) -> None:
        say("reading")

    def run(self) -> None:
        client = make_client()
        thread = threading.Thread(target=self.receive, args=(client,))
        thread.start()
        in_time = self.over.wait(PATIENCE_S)
        self.closing = threading.Thread(target=client.close)
        self.closing.start()
        if not in_time:
            raise TimeoutError(f"{self.left} events did not come")

    def receive(self, client: EventHubConsumerClient) -> None:
        client.receive(
            self.on_event,
            on_error=self.on_error,
            on_partition_initialize=self.on_initialized,
            partition_id=self.read.get("partition"),
            starting_position=position_of(self.read),
            starting_position_inclusive=self.read.get("inclusive", False),
            owner_level=self.read.get("level"),
            track_last_enqueued_event_properties=self.read.get("track", False),
        )


def text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def texts(said: dict[Any, Any] | None) -> dict[str, Any]:
    return {text(name): text(value) for name, value in (said or {}).items()}


def main() -> None:
    try:
        if PLAN.get("ask"):
            with make_client() as client:
                ask(client)
        for read in PLAN.get("reads", ()):
            Reading(read).run()
    except (EventHubError, TimeoutError, OSError) as error:
        say("failed", name=type(error).__name__, message=str(error))
        sys.exit(1)
    say("closed")


if __name__ == "__main__":
    main()
