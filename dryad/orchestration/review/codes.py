"""Proofs of who answers: codes of a person's own device, and codes for one decision.

A *one-time code* (RFC 6238: SHA-1, six digits, 30 seconds) shows that somebody holds the seed. It
does not say what they agree to: who reads it can spend it on another question first. A *decision
code* does: it is good for one approver, one question exactly as it was shown, and one word.
"""

import base64
import hashlib
import hmac
import secrets
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyotp import random_base32
from pyotp.totp import TOTP

from dryad.foundation.canonical import canonical_json
from dryad.foundation.errors import Corrupt

STEP_SECONDS = 30
_SKEW_STEPS = 1
"""A device's clock may be this many steps off, either way."""
_NONCE_BYTES = 12
_CODE_BYTES = 10


def new_seed() -> str:
    """Return a new seed, 160 random bits in base32."""
    return random_base32(32)


def enrolment_uri(reviewer: str, seed: str, *, issuer: str = "DRYAD") -> str:
    """Return the `otpauth://` address that an authenticator reads as a QR code."""
    return TOTP(seed, interval=STEP_SECONDS).provisioning_uri(name=reviewer, issuer_name=issuer)


def seal(secret: bytes, reviewer: str, seed: str) -> bytes:
    """Encrypt a seed so that it opens only with the installation's secret and for this reviewer."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(_key(secret, b"seeds")).encrypt(nonce, seed.encode(), reviewer.encode())


def unseal(secret: bytes, reviewer: str, sealed: bytes) -> str:
    """Return the seed that `seal` hid.

    Raises:
        Corrupt: it was sealed with another secret, or for somebody else.
    """
    nonce, hidden = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(_key(secret, b"seeds")).decrypt(nonce, hidden, reviewer.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise Corrupt(
            f"the seed of reviewer {reviewer} cannot be opened with this installation's secrets",
            f"Restore the exported keys, or run `dryad reviewers renew {reviewer}`.",
        ) from error


def one_time_step(seed: str, code: str, at: datetime) -> int | None:
    """Return the time step whose code this is, or None when it is nobody's now.

    Args:
        seed: See `new_seed`.
        code: Six digits; spaces do not matter.
        at: When the code was given.
    """
    digits = code.replace(" ", "")
    totp, now = TOTP(seed, interval=STEP_SECONDS), int(at.timestamp()) // STEP_SECONDS
    found = None
    for step in range(now - _SKEW_STEPS, now + _SKEW_STEPS + 1):  # all, whatever matches
        if hmac.compare_digest(totp.generate_otp(step).encode(), digits.encode()):
            found = step
    return found


def decision_code(
    secret: bytes, *, epoch: str, run: str, case: int, digest: str, approver: str, decision: str
) -> str:
    """Return the code of one decision: 16 letters and digits in groups of four."""
    said = canonical_json([epoch, run, case, digest, approver, decision])
    mac = hmac.new(_key(secret, b"decisions"), said, hashlib.sha256).digest()[:_CODE_BYTES]
    text = base64.b32encode(mac).decode()
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def same_code(expected: str, given: str) -> bool:
    """Compare two decision codes without telling how far they agree."""
    plain = [text.replace("-", "").replace(" ", "").upper().encode() for text in (expected, given)]
    return hmac.compare_digest(*plain)


def _key(secret: bytes, purpose: bytes) -> bytes:
    return hmac.new(secret, b"dryad review " + purpose, hashlib.sha256).digest()
