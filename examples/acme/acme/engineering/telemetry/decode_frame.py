"""Decode the 24-byte frames that a Rimetag sends every minute."""

import struct
from dataclasses import dataclass

FRAME_BYTES = 24
KNOWN_VERSIONS = (3, 4, 5)

# version, flags, serial, time, temperature in 0.01 °C, humidity in 0.1 %, battery in mV, padding, checksum
LAYOUT = struct.Struct(">BBIIhHH6xH")


class FrameError(ValueError):
    """The frame cannot be decoded; it is put aside, never thrown away."""


@dataclass(frozen=True)
class Reading:
    """One measurement of one logger."""

    serial: int
    unix_time: int
    temp_c: float
    humidity_pct: float | None
    battery_mv: int


def checksum_16(data: bytes) -> int:
    """Return the sum of all bytes modulo 65521, the largest prime below 65536."""
    return sum(data) % 65521


def decode_frame(frame: bytes) -> Reading:
    """Return the reading in a frame, or raise FrameError.

    decode_frame checks the length, the checksum and the version, in this order,
    so that a damaged frame is never mistaken for one of an unknown version.
    """
    if len(frame) != FRAME_BYTES:
        raise FrameError(f"expected {FRAME_BYTES} bytes, got {len(frame)}")
    version, flags, serial, unix_time, temp, humidity, battery, check = LAYOUT.unpack(frame)
    if check != checksum_16(frame[:-2]):
        raise FrameError("the checksum does not match")
    if version not in KNOWN_VERSIONS:
        raise FrameError(f"unknown frame version {version}")
    has_humidity = bool(flags & 0x01)
    return Reading(serial, unix_time, temp / 100, humidity / 10 if has_humidity else None, battery)
