"""A TLS client in memory over the standard library, to put before our engines without a socket."""

import ssl

from edgewire.transport.tls_engine import TlsEngine


def client_context(*, version: ssl.TLSVersion | None = None, ciphers: str | None = None) -> ssl.SSLContext:
    """A client that trusts anyone; `version` is the only one it speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = version
        context.maximum_version = version
    if ciphers is not None:
        context.set_ciphers(ciphers)
    return context


class MemoryClient:
    """One connection of the client; `to_server` and `from_server` are the wire."""

    def __init__(self, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> None:
        self.from_server = ssl.MemoryBIO()
        self.to_server = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.from_server, self.to_server, server_hostname="gateway", session=session)

    def handshake(self) -> bool:
        """A step of the handshake; True once it is done."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def hello(self) -> bytes:
        """The first bytes of the client."""
        self.handshake()
        return self.to_server.read()

    def connect(self, engine: TlsEngine) -> bytes:
        """Both handshakes; gives clear text that the client sent along with its last flight, which is none."""
        done = False
        for _ in range(4):
            self.handshake()
            flight = self.to_server.read()
            if flight and not done:
                done = engine.handshake(flight)
            self.from_server.write(engine.take_output())
            if done and self.handshake():
                return engine.decrypt(b"")
        raise AssertionError("no handshake after 4 flights")

    def send(self, clear: bytes) -> bytes:
        """The records of this clear text."""
        self.tls.write(clear)
        return self.to_server.read()

    def read(self, records: bytes) -> bytes:
        """The clear text in these records."""
        self.from_server.write(records)
        pieces: list[bytes] = []
        try:
            while piece := self.tls.read(65_536):
                pieces.append(piece)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return b"".join(pieces)
