"""Runs inside of an image, from standard input: starts the gateway alone, and prints what it is and what it takes.

Alone means: a certificate of its own, no upstream, no device. Under emulation the memory is the emulator's, too.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import gateway.store.store as line
from gateway import __version__

NAME = "edge.test"
SETTLE_S = 3.0


def write_certificate(folder: Path) -> dict[str, str]:
    """A certificate signed by itself; the settings that name its files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
    signed = builder.sign(key, SHA256())
    certificate, private = folder / "certificate", folder / "private"
    certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {"GATEWAY_CERTIFICATE_FILE": str(certificate), "GATEWAY_KEY_FILE": str(private)}


def main() -> int:
    """Start, wait for READY, look, stop. Returns the gateway's exit code."""
    settings = {"GATEWAY_HOST_NAME": NAME, "GATEWAY_HUB_NAME": "hub.test", "GATEWAY_UPSTREAM": "none"}
    environment = {**os.environ, **settings, **write_certificate(Path(mkdtemp()))}
    began_at = time.monotonic()
    process = subprocess.Popen(["gateway", "run"], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if not any(text.startswith("READY") for text in process.stdout):
        return process.wait() or 1
    ready_s = time.monotonic() - began_at
    time.sleep(SETTLE_S)
    status = dict(text.split(":", 1) for text in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    found = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "version": __version__,
        "line": "compiled" if line.__file__.endswith(".so") else "plain",
        "ready_s": round(ready_s, 1),
        "rss_mb": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "exit_code": code,
    }
    print(json.dumps(found))
    return code


if __name__ == "__main__":
    sys.exit(main())
