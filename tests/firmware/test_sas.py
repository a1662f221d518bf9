"""The board's signatures are those of everybody else."""

import base64
import hmac
import random
from urllib.parse import quote

from support.on_micropython import run

CASES = 300
LETTERS = "abcXYZ019-._~:/@ &=%+$#äß€"


def expected(resource: str, key: bytes, expiry: int, policy: str | None) -> str:
    """As IoT Hub's documents have it, from the standard library alone."""
    name = quote(resource, safe="")
    signature = hmac.digest(key, f"{name}\n{expiry}".encode(), "sha256")
    text = f"SharedAccessSignature sr={name}&sig={quote(base64.b64encode(signature).decode(), safe='')}&se={expiry}"
    return text + (f"&skn={policy}" if policy else "")


def test_tokens_and_macs_are_as_cpython_makes_them() -> None:
    chance = random.Random(6)
    tokens, macs = [], []
    for _ in range(CASES):
        resource = "".join(chance.choices(LETTERS, k=chance.randrange(1, 90)))
        key = chance.randbytes(chance.randrange(1, 100))
        tokens.append((resource, key, chance.randrange(1_700_000_000, 4_000_000_000), chance.choice([None, "device"])))
        macs.append((chance.randbytes(chance.randrange(0, 140)), chance.randbytes(chance.randrange(0, 300))))
    found = run(
        "sign",
        {
            "tokens": [(resource, base64.b64encode(key).decode(), at, policy) for resource, key, at, policy in tokens],
            "macs": [(key.hex(), text.hex()) for key, text in macs],
            "same": [("abc", "abc"), ("abc", "abd"), ("abc", "ab"), ("", "")],
        },
    )
    assert found["tokens"] == [expected(*case) for case in tokens]
    assert found["macs"] == [hmac.digest(key, text, "sha256").hex() for key, text in macs]
    assert found["same"] == [True, False, False, True]
