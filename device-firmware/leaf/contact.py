# First contact: a board that has a code or a key of its group asks the gateway who it is. The answer is believed for
# its code, not for its channel. Cost: 1.6 KB .mpy, 0.8 KB of heap while it is loaded; the app lets it go afterwards.
import json
import os
from binascii import a2b_base64, b2a_base64, hexlify, unhexlify
from hashlib import sha256

import slots
import store
import web
from sas import hmac_sha256, same


class ContactError(Exception):
    pass  # (status of HTTP or a word, seconds to wait or 0): mac, answer, sealed, root


def meet(link, board, pinned, room):
    # What is kept of the answer of the gateway that `link` leads to; the link is closed. See `ask` and `believed`.
    config = store.load("/config.json")
    who = {"registrationId": config.get("id") or board.name(), "model": board.MODEL}
    who["version"] = slots.report()["version"] or "0"
    found = ask(link, config["gateway"], who, config["credential"], room)
    link.close()
    return believed(found, config["credential"], pinned)


def secret_of(credential):
    # Claim and label: the code as a person reads it. Group: the key derived for this board, base64.
    if credential["kind"] == "group":
        return a2b_base64(credential["key"])
    code = credential["code"].upper().replace("-", "").replace(" ", "")
    return sha256(code.encode()).digest()


def opened(key, secret, nonce):
    # The key of the answer; sealed: XOR with an HMAC, which covers the 32 bytes that keys have.
    if isinstance(key, str):
        return key
    sealed = bytearray(a2b_base64(key["sealed"]))
    pad = hmac_sha256(secret, b"edge-bootstrap-seal-1\n", nonce)
    if len(sealed) != len(pad):
        raise ContactError("answer", 0)
    for i in range(len(pad)):
        sealed[i] ^= pad[i]
    return b2a_base64(sealed)[:-1].decode()


def ask(link, host, who, credential, room):
    # `who`: registrationId, model, version. Returns nonce, proof and body, which stands in `room`: the connection is not
    # needed any more, and its memory is.
    nonce = hexlify(os.urandom(16))
    said = {"nonce": nonce.decode(), "kind": credential["kind"]}
    said.update(who)
    name = who["registrationId"].encode()
    said["mac"] = hexlify(hmac_sha256(secret_of(credential), b"edge-bootstrap-1\n", name, b"\n", nonce)).decode()
    headers = {"Content-Type": "application/json"}
    try:
        answer = web.request(link, host, "POST", "/bootstrap/v1/contact", headers, json.dumps(said).encode())
        if answer.size > len(room):
            raise ContactError("answer", 0)
        size = answer.readinto(room)
    except web.WebError as error:
        raise ContactError(error.args[0], 0)
    if answer.status != 200:
        wait = answer.headers.get("retry-after", "")
        raise ContactError(answer.status, int(wait) if wait.isdigit() else 0)
    return nonce, answer.headers.get("x-bootstrap-mac", ""), memoryview(room)[:size]


def believed(answer, credential, pinned):
    # What is kept of an answer, if it is from one who knows the secret. `pinned`: the channel was checked, so that the
    # key may come as it is.
    nonce, mac, body = answer
    secret = secret_of(credential)
    wanted = hmac_sha256(secret, b"edge-bootstrap-answer-1\n", nonce, b"\n", body)
    try:
        if not same(wanted, unhexlify(mac)):
            raise ContactError("mac", 0)
        found = json.loads(body)
        if isinstance(found["key"], str) and not pinned:
            raise ContactError("sealed", 0)
        if not found["root"]:
            raise ContactError("root", 0)  # the gateway has none that we can pin
        if found["root"]["e"] != 65537:
            raise ContactError("answer", 0)
        found["key"] = opened(found["key"], secret, nonce)
        found["since"] = int(found.pop("time"))
        for name in ("deviceId", "hub", "gateway", "mqttPort", "httpsPort"):
            found[name]
        found["settings"] = found.get("settings") or {}
    except (KeyError, ValueError, TypeError):
        raise ContactError("answer", 0)
    return found
