"""The index's files are damaged at random: results must stay what they were."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

from affidavit.app.drills.comparing import PERMITTED, RECOVERED, SAME, after_damage, index_files
from affidavit.app.drills.lab import Lab
from affidavit.app.drills.stock import lay_in
from affidavit.app.wiring import INDEX
from affidavit.domain.errors import UsageError

_ROUNDS = 12
_QUESTIONS = 3


def _flip(data: bytearray, chance: Random) -> None:
    for _ in range(1 + len(data) // 5000):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(data: bytearray, chance: Random) -> None:
    del data[chance.randrange(len(data)) :]


def _blank(data: bytearray, chance: Random) -> None:
    start = chance.randrange(len(data))
    length = min(4096, len(data) - start)
    data[start : start + length] = bytes(length)


def _shift(data: bytearray, chance: Random) -> None:
    data.insert(chance.randrange(len(data)), 0)


def _scramble(data: bytearray, chance: Random) -> None:
    data[:] = chance.randbytes(len(data))


DAMAGES: dict[str, Callable[[bytearray, Random], None]] = {
    "flip": _flip,
    "cut": _cut,
    "zero": _blank,
    "insert": _shift,
    "scramble": _scramble,
}


class IndexCorruption:
    """Implements ``Drill``."""

    name = "index-corruption"
    breaks = f"random bytes of the index's files are changed, cut off or put in, {_ROUNDS} times"
    promises = (SAME, PERMITTED, RECOVERED)

    def run(self, lab: Lab) -> None:
        with lab.open() as ws:
            stock = lay_in(lab, ws)
            before = lab.baseline(ws, _QUESTIONS)
        index, whole = lab.folder / INDEX, lab.room / "whole"
        shutil.copytree(index, whole)
        for n in range(_ROUNDS):
            how = list(DAMAGES)[n % len(DAMAGES)]
            files = index_files(lab)
            path = files[n % len(files)]
            damage_file(path, how, lab.random)
            after_damage(lab, before, stock, f"{how} {path.name.partition('-')[0]}")
            shutil.rmtree(index)
            shutil.copytree(whole, index)
        with lab.open() as ws:
            lab.sound(ws)
        lab.note(
            "Files are damaged while no process has them open. To cut off a mapped index file from outside ends the process "
            "that uses it (see SECURITY.md); nothing is lost."
        )


def damage_file(path: Path, how: str, chance: Random) -> None:
    """Damage one file. A new file takes the old one's place, which somebody may still have mapped. Raises UsageError."""
    if how not in DAMAGES:
        raise UsageError(f"an index cannot be damaged by {how!r}", f"one of: remove, {', '.join(DAMAGES)}")
    data = bytearray(path.read_bytes())
    DAMAGES[how](data, chance)
    other = path.with_name("damaged.tmp")
    other.write_bytes(bytes(data))
    other.replace(path)
