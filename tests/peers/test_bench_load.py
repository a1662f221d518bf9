"""The benchmark's load generator against a broker of ten lines: what it says it sent was sent, and counted once."""

import json
import socket
import subprocess
import threading

import pytest
from sidebyside.load import build, read_figures


class TenLineBroker(threading.Thread):
    """Accepts one connection, greets it, and acknowledges every PUBLISH of a known length."""

    def __init__(self, publish_bytes: int) -> None:
        super().__init__(name="broker")
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(20)
        self.port = self.listening.getsockname()[1]
        self.first = b""
        self.publish = b""
        self._publish_bytes = publish_bytes

    def run(self) -> None:
        client, _ = self.listening.accept()
        client.settimeout(20)
        with self.listening, client, client.makefile("rb") as stream:
            head = stream.read(2)
            self.first = head + stream.read(head[1])
            client.sendall(b"\x20\x02\x00\x00")
            while len(packet := stream.read(self._publish_bytes)) == self._publish_bytes:
                self.publish = packet
                at = 3 + 2 + int.from_bytes(packet[3:5])
                client.sendall(b"\x40\x02" + packet[at : at + 2])


@pytest.fixture(scope="module")
def mqload(tmp_path_factory: pytest.TempPathFactory) -> str:
    binary = tmp_path_factory.mktemp("mqload") / "mqload"
    build(binary)
    return str(binary)


def test_the_generator_publishes_and_counts_what_is_acknowledged(mqload: str) -> None:
    topic = "devices/device-00000/messages/events/$.ct=application%2Fjson&$.ce=utf-8"
    broker = TenLineBroker(publish_bytes=1 + 2 + 2 + len(topic) + 2 + 256)
    broker.start()
    command = [mqload, "publish", "--port", str(broker.port), "--count", "500", "--window", "4", "--seconds", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    broker.join()
    figures = read_figures(done.stdout)
    assert figures["published"] == figures["acknowledged"] == 500
    assert figures["publish_bytes"] == len(broker.publish)
    assert broker.first[2:9] == b"\x00\x04MQTT\x04"
    assert topic.encode() in broker.publish
    assert json.loads(broker.publish[-256:])["messageType"] in {"state", "alert"}


def test_the_generator_fails_when_nobody_listens(mqload: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen: nor can anybody else
        port = str(taken.getsockname()[1])
        done = subprocess.run([mqload, "publish", "--port", port], capture_output=True, check=False, timeout=60)
    assert done.returncode == 1
