# Tokens and derived keys. Cases: [resource, key, expiry, policy]; [key hex, message hex].
import json
import sys
from binascii import hexlify, unhexlify

import sas

cases = json.loads(sys.stdin.readline())
tokens = [sas.token(*case) for case in cases["tokens"]]
macs = [hexlify(sas.hmac_sha256(unhexlify(key), unhexlify(text))).decode() for key, text in cases["macs"]]
same = [sas.same(one.encode(), two.encode()) for one, two in cases["same"]]
print(json.dumps({"tokens": tokens, "macs": macs, "same": same}))
