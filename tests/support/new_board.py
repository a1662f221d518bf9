"""A board at first contact, written from the interface's text and not from our sources: plain Python, hashlib, ssl."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import ssl
from dataclasses import dataclass, field
from typing import Any

from support.http_reading import Answer

PATIENCE_S = 45.0


def secret_of(code: str) -> bytes:
    """What a person's code stands for."""
    return hashlib.sha256("".join(code.replace("-", "").split()).upper().encode()).digest()


def group_secret(group_key: bytes, device: str) -> bytes:
    """The key of one device of a group, as the provisioning service derives it."""
    return hmac.new(group_key, device.encode(), hashlib.sha256).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One board with its secret."""

    device: str
    secret: bytes = field(repr=False)
    kind: str = "claim"
    model: str = "nodemcu"
    version: str = "1.0.0"

    def contact(self, nonce: str = "", **changes: Any) -> bytes:
        """The request's body; `changes` are put over it."""
        nonce = nonce or os.urandom(16).hex()
        text = f"edge-bootstrap-1\n{self.device}\n{nonce}".encode()
        document = {
            "registrationId": self.device,
            "model": self.model,
            "version": self.version,
            "nonce": nonce,
            "kind": self.kind,
            "mac": hmac.new(self.secret, text, hashlib.sha256).hexdigest(),
            **changes,
        }
        return json.dumps({name: value for name, value in document.items() if value is not None}).encode()

    def believes(self, body: bytes, mac: str | None, nonce: str) -> bool:
        """Whether an answer comes from who knows the secret, and is for this request."""
        text = b"edge-bootstrap-answer-1\n" + nonce.encode() + b"\n" + body
        return mac is not None and hmac.compare_digest(mac, hmac.new(self.secret, text, hashlib.sha256).hexdigest())

    def key_in(self, document: Any, nonce: str) -> bytes:
        """The device's key out of an answer."""
        sealed = base64.b64decode(document["key"]["sealed"])
        pad = hmac.new(self.secret, b"edge-bootstrap-seal-1\n" + nonce.encode(), hashlib.sha256).digest()
        assert len(sealed) == len(pad)
        return bytes(one ^ other for one, other in zip(sealed, pad, strict=True))

    def accept(self, answer: Answer, nonce: str) -> tuple[Any, bytes]:
        """The document and the key of an answer that must be good."""
        assert answer.status == 200, answer
        assert self.believes(answer.body, answer.headers.get("x-bootstrap-mac"), nonce), answer
        document = json.loads(answer.body)
        return document, self.key_in(document, nonce)


def ask(
    host: str,
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    source: str = "",
) -> Answer:
    """One request on a connection of its own; without `tls` in the clear. It blocks: call it in a thread."""
    local = (source, 0) if source else None
    connection = (
        http.client.HTTPConnection(host, port, timeout=PATIENCE_S, source_address=local)
        if tls is None
        else http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=tls, source_address=local)
    )
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        fields = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, fields, response.read())
    finally:
        connection.close()
