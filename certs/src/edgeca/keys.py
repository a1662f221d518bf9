"""Private keys: the kinds we make, and their PEM form."""

from enum import Enum
from typing import assert_never

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edgeca.errors import CaError

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class KeyType(Enum):
    """The kinds of key; P-256 is the curve every TLS stack and IoT Edge's key service take."""

    EC_P256 = "EC P-256"
    RSA_2048 = "RSA 2048"
    RSA_3072 = "RSA 3072"
    RSA_4096 = "RSA 4096"


def generate(key_type: KeyType) -> PrivateKey:
    """A new key of this kind."""
    match key_type:
        case KeyType.EC_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.RSA_2048:
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case KeyType.RSA_3072:
            return rsa.generate_private_key(public_exponent=65537, key_size=3072)
        case KeyType.RSA_4096:
            return rsa.generate_private_key(public_exponent=65537, key_size=4096)
        case _:
            assert_never(key_type)


def kind_of(key: PrivateKey) -> KeyType:
    """The kind of key to make in place of this one; P-256 for a curve that we do not make."""
    words = describe(key)
    return next((each for each in KeyType if each.value == words), KeyType.EC_P256)


def describe(key: object) -> str:
    """What kind of public or private key this is, in the words of `KeyType` where it is one of ours."""
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return "EC P-256" if isinstance(key.curve, ec.SECP256R1) else f"EC {key.curve.name}"
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return f"RSA {key.key_size}"
    return type(key).__name__


def write_key(key: PrivateKey) -> bytes:
    """PKCS#8 PEM without a password, the form IoT Edge's services and device SDKs read."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def read_key(pem: bytes, source: str, password: bytes | None = None) -> PrivateKey:
    """The key in `pem`. Raises CaError, naming `source`, if there is none that we can use."""
    try:
        key = serialization.load_pem_private_key(pem, password=password)
    except (ValueError, TypeError) as exc:
        how = "without a password" if password is None else "with this password"
        raise CaError(f"{source} holds no readable private key (PEM, {how})") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CaError(f"{source} holds a {describe(key)} key; this tool works with EC and RSA keys")
    return key
