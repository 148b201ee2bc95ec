"""The verifier's own Ed25519: RFC 8032's vectors, `cryptography` as an oracle, and the vectors that tell strict from lenient."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from affidavit.offline.verify_affidavit import _decode_point, ed25519_verify

ORDER = 2**252 + 27742317777372353535851937790883648493

# RFC 8032, section 7.1: public key, message, signature
RFC = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]

_SMALL = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"
_MIXED = "cdb267ce40c5cd45306fa5d2f29731459387dbf9eb933b7bd5aed9a765b88d4d"
_OTHER = "f7badec5b8abeaf699583992219b7b223f1df3fbbea919844e3f7c554a43dd43"
_MINUS_ZERO = "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
_BOUND = "442aad9f089ad9e14647b1ef9099a1ff4798d78589e66f28eca69c11f582a623"
_S1 = "a5bb704786be79fc476f91d3f3f89b03984d8068dcf1bb7dfc6637b45450ac04"
_M1 = "9bd9f44f4dcc75bd531b56b2cd280b0bb38fc1cd6d1230e14861d861de092e79"
_M4 = "e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec4011eaccd55b53f56c"
_M6 = "85e241a07d148b41e47d62c63f830dc7a6851a0b1f33ae4bb2f507fb6cffec40"
_M8 = "9bedc267423725d473888631ebf45988bad3db83851ee85c85e241a07d148b41"
_A1 = "a9d55260f765261eb9b84e106f665e00b867287a761990d7135963ee0a7d59dc"

# "Taming the many EdDSAs" (IACR 2020/1244), table 6c: message, public key, signature, what it is, whether strict accepts
TAMING = [
    (
        "8c93255d71dcab10e8f379c26200f3c7bd5f09d9bc3068d3ef4edeb4853022b6",
        _SMALL,
        _SMALL[:-2] + "7a" + 64 * "0",
        "small A and R",
    ),
    (_M1, _SMALL, _OTHER + _S1, "small A"),
    (
        "aebf3f2601a0c8c5d39cc7d8911642f740b78168218da8471772b35f9d35b9ab",
        _OTHER,
        _SMALL + "8c4bd45aecaca5b24fb97bc10ac27ac8751a7dfe1baff8b953ec9f5833ca260e",
        "small R",
    ),
    (
        _M4,
        _MIXED,
        "160a1cb0dc9c0258cd0a7d23e94d8fa878bcb1925f2c64246b2dee1796bed5125ec6bc982a269b723e0668e540911a9a6a58921d6925e434ab10aa7940551a09",
        "holds with the cofactor only",
    ),
    (
        _M4,
        _MIXED,
        "21122a84e0b5fca4052f5b1235c80a537878b38f3142356b2c2384ebad4668b7e40bc836dac0f71076f9abe3a53f9c03c1ceeeddb658d0030494ace586687405",
        "holds with the cofactor only, order L",
    ),
    (
        _M6,
        _BOUND,
        "e96f66be976d82e60150baecff9906684aebb1ef181f67a7189ac78ea23b6c0e547f7690a0e2ddcd04d87dbc3490dc19b3b3052f7ff0538cb68afb369ba3a514",
        "s above the order",
    ),
    (
        _M6,
        _BOUND,
        "8ce5b96c8f26d0ab6c47958c9e68b937104cd36e13c33566acd2fe8d38aa19427e71f98a473474f2f13f06f97c20d58cc3f54b8bd0d272f42b695dd7e89a8c22",
        "s far above",
    ),
    (
        _M8,
        _OTHER,
        _MINUS_ZERO + "03be9678ac102edcd92b0210bb34d7428d12ffc5df5f37e359941266a4e35f0f",
        "R not canonical",
    ),
    (
        _M8,
        _OTHER,
        _MINUS_ZERO + "ca8c5b64cd208982aa38d4936621a4775aa233aa0505711d8fdcfdaa943d4908",
        "R not canonical, as it is",
    ),
    (
        "e96b7021eb39c1a163b6da4e3093dcd3f21387da4cc4572be588fafae23c155b",
        _MINUS_ZERO,
        _A1 + _S1,
        "A not canonical",
    ),
    (
        "39a591f5321bbe07fd5a23dc2f39d025d74526615746727ceefd6e82ae65c06f",
        _MINUS_ZERO,
        _A1 + _S1,
        "A not canonical, as it is",
    ),
]


@pytest.mark.parametrize(("public", "message", "signature"), RFC)
def test_rfc_8032(public: str, message: str, signature: str) -> None:
    key, text, signed = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert ed25519_verify(key, signed, text)
    assert not ed25519_verify(key, signed, text + b"x")
    s = int.from_bytes(signed[32:], "little") + ORDER  # the same signature, written differently
    if s < 2**256:
        assert not ed25519_verify(key, signed[:32] + s.to_bytes(32, "little"), text)
    assert not ed25519_verify(key[:31], signed, text)
    assert not ed25519_verify(key, signed + b"\x00", text)


@pytest.mark.parametrize(("message", "public", "signature", "what"), TAMING, ids=[t[3] for t in TAMING])
def test_what_only_lenient_verifiers_accept(message: str, public: str, signature: str, what: str) -> None:
    assert not ed25519_verify(bytes.fromhex(public), bytes.fromhex(signature), bytes.fromhex(message)), what


def test_points_have_one_spelling() -> None:
    """The 19 values of y from p on would be second spellings of small ones."""
    assert _decode_point((2).to_bytes(32, "little")) is None  # no point has this y
    assert _decode_point((3).to_bytes(32, "little")) is not None
    for extra in range(19):
        assert _decode_point((2**255 - 19 + extra).to_bytes(32, "little")) is None


def test_mixed_order_that_holds_without_the_cofactor() -> None:
    signature = (
        "9046a64750444938de19f227bb80485e92b83fdb4b6506c160484c016cc1852f"
        "87909e14428a7a1d62e9f22f3d3ad7802db02eb2e688b6c52fcd6648a98bd009"
    )
    assert ed25519_verify(bytes.fromhex(_MIXED), bytes.fromhex(signature), bytes.fromhex(_M1))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 96 * 8 - 1))
def test_agrees_with_cryptography(seed: bytes, message: bytes, flipped: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert ed25519_verify(public, signature, message)
    both = bytearray(public + signature)
    both[flipped // 8] ^= 1 << flipped % 8
    public, signature = bytes(both[:32]), bytes(both[32:])
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        assert not ed25519_verify(public, signature, message)
    else:
        pytest.fail("a flipped bit makes no other valid signature")
