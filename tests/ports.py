"""Ports for programs that must be told theirs beforehand. What can listen at port 0 and say where it is does that instead."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

_BELOW = 32_000
"""The system gives ports from 32768 on to whoever asks for any: one from below is not given away before it is used."""


def free_port() -> int:
    """A port on loopback that nobody uses and that the system gives to nobody."""
    while True:
        port = random.SystemRandom().randrange(10_000, _BELOW)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


@contextmanager
def refusing() -> Iterator[int]:
    """A port on loopback that refuses connections, and that nobody else can take until the block ends."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
