"""adb's RSA handshake, the device's half.

The device sends a 20-byte token; the host returns a PKCS#1 v1.5 signature in which the
token stands for a SHA-1 digest. `adbkey.pub` holds the public key as base64 of
`u32 words (64), u32 n0inv, modulus little-endian, rr, u32 exponent`.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import struct
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InputError

TOKEN_BYTES = 20
# AUTH packets say in arg0 what they carry.
AUTH_TOKEN = 1
AUTH_SIGNATURE = 2
AUTH_PUBLIC_KEY = 3

_KEY_BYTES = 256
# DER prefix of a SHA-1 DigestInfo (RFC 8017, section 9.2, note 1).
_SHA1_DIGEST_INFO = bytes.fromhex("3021300906052b0e03021a05000414")


@dataclass(frozen=True)
class PublicKey:
    """An RSA-2048 public key."""

    modulus: int
    exponent: int

    def signed(self, token: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's for `token`."""
        if len(signature) != _KEY_BYTES:
            return False
        opened = pow(int.from_bytes(signature, "big"), self.exponent, self.modulus)
        tail = b"\x00" + _SHA1_DIGEST_INFO + token
        expected = b"\x00\x01" + b"\xff" * (_KEY_BYTES - 2 - len(tail)) + tail
        return secrets.compare_digest(opened.to_bytes(_KEY_BYTES, "big"), expected)


def load_public_key(path: Path) -> PublicKey:
    """The key in an `adbkey.pub` (its first word; a user@host may follow).

    Raises:
        InputError: the file cannot be read or is no such key.
    """
    doing = f"reading the adb public key {path}"
    try:
        blob = base64.b64decode(path.read_text(encoding="ascii").split()[0], validate=True)
        words, _n0inv = struct.unpack_from("<II", blob)
        exponent = struct.unpack_from("<I", blob, 8 + 2 * _KEY_BYTES)[0]
    except OSError as err:
        raise InputError(doing, str(err.strerror), hint="make one with `adb keygen FILE`") from err
    except (UnicodeError, IndexError, binascii.Error, struct.error) as err:
        raise InputError(
            doing,
            f"not an adb public key ({err})",
            expected="the .pub file that `adb keygen FILE` writes",
        ) from err
    if words * 4 != _KEY_BYTES:
        raise InputError(doing, f"a key of {words * 32} bits", expected="2048 bits")
    return PublicKey(int.from_bytes(blob[8 : 8 + _KEY_BYTES], "little"), exponent)


def new_token() -> bytes:
    """A token that has not been used before."""
    return secrets.token_bytes(TOKEN_BYTES)
