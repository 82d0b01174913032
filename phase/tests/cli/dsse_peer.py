"""securesystemslib (PyPI), as an independent implementation of DSSE, for tests/cli/interop.rs.

verify ENVELOPE PUB KEYID           one signature of PUB, under the name KEYID, has to verify
sign PAYLOAD TYPE KEY KEYID OUT     an envelope by KEY; "-" as KEYID: the name that the library itself gives the key
"""

import json
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey


def verify(envelope, public, keyid):
    key = SSlibKey.from_crypto(load_pem_public_key(Path(public).read_bytes()), keyid)
    try:
        accepted = Envelope.from_dict(json.loads(Path(envelope).read_bytes())).verify([key], 1)
    except VerificationError as error:
        sys.exit(f"refused: {error}")
    print("accepted", *accepted)


def sign(payload, payload_type, private, keyid, out):
    key = load_pem_private_key(Path(private).read_bytes(), None)
    public = SSlibKey.from_crypto(key.public_key(), None if keyid == "-" else keyid)
    envelope = Envelope(Path(payload).read_bytes(), payload_type, {})
    envelope.sign(CryptoSigner(key, public))
    Path(out).write_text(json.dumps(envelope.to_dict()))
    print(public.keyid)


{"verify": verify, "sign": sign}[sys.argv[1]](*sys.argv[2:])
