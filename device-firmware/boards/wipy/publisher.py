# Telemetry of a WiPy (CC3200) to Event Hubs: one HTTPS POST per value. In the language of that port: no floats, no
# true division, TLS sockets that are wrapped before they connect, hashes fed in multiples of four bytes.
# Cost: not known; nothing of it was measured on the hardware.
import socket
import ssl
from binascii import b2a_base64

from sas import hmac_sha256, quote

CA_FILE = "/flash/cert/ca.pem"  # the one path from which the chip reads a root; it gets there by FTP
HTTPS = 443
_NTP_TO_1970 = 2208988800
_FROM = 1735689600  # 2025-01-01 to 2100-01-01: what a host of NTP may say
_UNTIL = 4102444800
_MOST = 512  # bytes of a line of the answer


class PublishError(Exception):
    pass  # (status of HTTP, or "answer")


def token(address, rule, key, expiry):
    # Event Hubs signs with the rule key's text, not with what base64 makes of it. One piece of text: pieces would have
    # to be multiples of four bytes.
    resource = quote(address)
    expiry = str(expiry)
    digest = hmac_sha256(key.encode(), (resource + "\n" + expiry).encode())
    signature = quote(b2a_base64(digest)[:-1])
    return "SharedAccessSignature sr=" + resource + "&sig=" + signature + "&se=" + expiry + "&skn=" + rule


def tenths(raw):
    # Of a degree, from a TMP36 (500 mV at 0 degrees, 10 mV more for each) at the ADC: 4096 steps for 1400 mV.
    return raw * 1400 // 4096 - 500


def body_of(number, value):
    return '{"number":%d,"temperatureTenths":%d}' % (number, value)


def ntp_seconds(host, timeout_s=5):
    # Seconds since 1970. Nobody proves this time; all that depends on it is for how long a token is good.
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        link.settimeout(timeout_s)
        link.sendto(b"\x1b" + bytes(47), socket.getaddrinfo(host, 123)[0][-1])
        answer = link.recv(48)
    finally:
        link.close()
    found = int.from_bytes(answer[40:44], "big") - _NTP_TO_1970
    if len(answer) != 48 or answer[0] & 7 != 4 or not _FROM <= found < _UNTIL:
        raise OSError("ntp")
    return found


def dial(host, port, timeout_s=15):
    link = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SEC)
    try:
        link = ssl.wrap_socket(
            link, ssl_version=ssl.PROTOCOL_TLSv1_2, cert_reqs=ssl.CERT_REQUIRED, ca_certs=CA_FILE
        )
        link.settimeout(timeout_s)
        link.connect(socket.getaddrinfo(host, port)[0][-1])
    except Exception:
        link.close()
        raise
    return link


class Publisher:
    # `namespace`: contoso-ns.servicebus.windows.net. `rule` has the right Send, and no other.
    def __init__(self, namespace, hub, name, rule, key, port=HTTPS):
        self._host = namespace
        self._path = "/" + hub + "/publishers/" + name
        self._rule = rule
        self._key = key
        self._port = port

    def token(self, expiry):
        # For this publisher alone: with it nobody sends as another.
        return token("https://" + self._host + self._path, self._rule, self._key, expiry)

    def send(self, body, expiry):
        # Returns when Event Hubs has the event. A connection for each: the next value is minutes away.
        body = body.encode()
        lines = (
            "POST " + self._path + "/messages?timeout=60&api-version=2014-01 HTTP/1.1",
            "Host: " + self._host,
            "Authorization: " + self.token(expiry),
            "Content-Type: application/json",
            "Content-Length: " + str(len(body)),
            "Connection: close",
            "",
            "",
        )
        link = dial(self._host, self._port)
        try:
            _write(link, "\r\n".join(lines).encode() + body)
            status = _status(link)
        finally:
            link.close()
        if status != 201:
            raise PublishError(status)


def _write(link, data):
    at = 0
    while at < len(data):
        at += link.send(data[at:])


def _status(link):
    line = b""
    while b"\n" not in line:
        more = link.recv(64)
        if not more or len(line) > _MOST:
            raise PublishError("answer")
        line += more
    words = line.split(b"\n")[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or len(words[1]) != 3 or not words[1].isdigit():
        raise PublishError("answer")
    return int(words[1])
