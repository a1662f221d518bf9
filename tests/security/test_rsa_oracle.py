"""The key of the listeners for small boards is no oracle: whatever is wrong with what was sealed, the answer is one.

RSA key exchange and CBC were broken time and again by servers whose answers told one fault from another
(Bleichenbacher, ROBOT; Vaudenay, Lucky 13). OpenSSL hides the difference; should a version of it not, these tests say
so. What can be seen in answers is tested here, times are not.
"""

import os
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from edgewire.transport.tls import Profile, Security
from support.axtls_client import ALERT, SUITES, AxTlsClient, AxTlsError, Suite, Trouble
from support.certificates import rsa_key, self_signed
from support.echo import EchoServer, echo_server

BAD_RECORD_MAC = 20
VERSION = b"\x03\x03"
Block = Callable[[int, bytes], bytes]
"""The block before RSA, of so many bytes, for this premaster secret."""


@pytest.fixture(scope="module")
def security() -> Security:
    server = self_signed("gateway", key=rsa_key())
    return Security(server.pem, server.key_pem, profile=Profile.CONSTRAINED)


@pytest.fixture
async def echo(security: Security) -> AsyncIterator[EchoServer]:
    async with echo_server(security=security) as server:
        yield server


def nonzero(count: int) -> bytes:
    return bytes(1 + byte % 255 for byte in os.urandom(count))


def padded(size: int, secret: bytes, *, kind: bytes = b"\x00\x02") -> bytes:
    return kind + nonzero(size - 3 - len(secret)) + b"\x00" + secret


def early_zero(size: int, secret: bytes) -> bytes:
    block = bytearray(padded(size, secret))
    block[5] = 0
    return bytes(block)


BLOCKS: dict[str, Block] = {
    "right padding, another secret": lambda size, _: padded(size, VERSION + os.urandom(46)),
    "wrong version": lambda size, secret: padded(size, b"\x03\x02" + secret[2:]),
    "too short": lambda size, secret: padded(size, secret[:-1]),
    "too long": lambda size, secret: padded(size, secret + b"x"),
    "empty": lambda size, _: padded(size, b""),
    "block of signatures": partial(padded, kind=b"\x00\x01"),
    "first byte": partial(padded, kind=b"\x01\x02"),
    "no end of the padding": lambda size, _: b"\x00\x02" + nonzero(size - 2),
    "padding of 3 bytes": early_zero,
    "nothing but zeros": lambda size, _: bytes(size),
}


class Prober(AxTlsClient):
    """Seals what it should not."""

    block: Block

    def sealed_premaster(self, key: RSAPublicKey, premaster: bytes) -> bytes:
        numbers, size = key.public_numbers(), key.key_size // 8
        block = int.from_bytes(type(self).block(size, premaster), "big") % numbers.n
        return pow(block, numbers.e, numbers.n).to_bytes(size, "big")


async def handshake(client: type[AxTlsClient], port: int) -> None:
    async with client.connect("127.0.0.1", port):
        pass


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
async def test_what_is_wrong_with_a_sealed_secret_is_not_told(echo: EchoServer, block: Block) -> None:
    prober = type("Prober", (Prober,), {"block": staticmethod(block)})
    with pytest.raises(AxTlsError) as raised:
        await handshake(prober, echo.port)
    assert raised.value.trouble is Trouble.ALERT
    assert str(raised.value).endswith(f"the server's alert {BAD_RECORD_MAC}")


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
@pytest.mark.parametrize("at", [0, -17, -1], ids=["MAC", "padding", "padding and MAC"])
async def test_what_is_wrong_with_a_record_is_not_told(echo: EchoServer, suite: Suite, at: int) -> None:
    async with AxTlsClient.connect("127.0.0.1", echo.port, suites=(suite,)) as client:
        body = bytearray(client.seal(b"x"))
        body[at] ^= 1
        assert await client.send_sealed(bytes(body)) == (ALERT, bytes((2, BAD_RECORD_MAC)))
