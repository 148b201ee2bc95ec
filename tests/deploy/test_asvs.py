"""The checklist in SECURITY.md: every requirement once, every piece of evidence there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# How many requirements of levels 1 and 2 each section of ASVS 5.0.0 has; they are numbered from 1, without gaps.
SECTIONS = {
    "V1.1": 2,
    "V1.2": 9,
    "V1.3": 11,
    "V1.4": 3,
    "V1.5": 2,
    "V2.1": 3,
    "V2.2": 3,
    "V2.3": 4,
    "V2.4": 1,
    "V3.2": 2,
    "V3.3": 4,
    "V3.4": 6,
    "V3.5": 5,
    "V3.7": 2,
    "V4.1": 3,
    "V4.2": 1,
    "V4.3": 2,
    "V4.4": 4,
    "V5.1": 1,
    "V5.2": 3,
    "V5.3": 2,
    "V5.4": 3,
    "V6.1": 3,
    "V6.2": 12,
    "V6.3": 4,
    "V6.4": 4,
    "V6.5": 5,
    "V6.6": 3,
    "V6.8": 4,
    "V7.1": 3,
    "V7.2": 4,
    "V7.3": 2,
    "V7.4": 5,
    "V7.5": 2,
    "V7.6": 2,
    "V8.1": 2,
    "V8.2": 3,
    "V8.3": 1,
    "V8.4": 1,
    "V9.1": 3,
    "V9.2": 4,
    "V10.1": 2,
    "V10.2": 2,
    "V10.3": 4,
    "V10.4": 11,
    "V10.5": 5,
    "V10.6": 2,
    "V10.7": 3,
    "V11.1": 2,
    "V11.2": 3,
    "V11.3": 3,
    "V11.4": 4,
    "V11.5": 1,
    "V11.6": 1,
    "V12.1": 3,
    "V12.2": 2,
    "V12.3": 4,
    "V13.1": 1,
    "V13.2": 5,
    "V13.3": 2,
    "V13.4": 5,
    "V14.1": 2,
    "V14.2": 4,
    "V14.3": 3,
    "V15.1": 3,
    "V15.2": 3,
    "V15.3": 7,
    "V16.1": 1,
    "V16.2": 5,
    "V16.3": 4,
    "V16.4": 3,
    "V16.5": 3,
    "V17.1": 1,
    "V17.2": 4,
    "V17.3": 2,
}


def rows() -> dict[str, list[str]]:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| (V\d+\.\d+) [^|]*\|([^|]*)\|([^|]*)\|([^|]*)\|(.*)\|$", text, re.M)
    assert len(found) == len({section for section, *_ in found})
    return {section: list(rest) for section, *rest in found}


def numbers(cell: str) -> list[int]:
    out: list[int] = []
    for part in filter(None, (p.strip() for p in cell.split(","))):
        first, _, last = part.partition("-")
        out += range(int(first), int(last or first) + 1)
    return out


def test_every_requirement_is_said_something_about_once() -> None:
    said = {
        section: sorted(n for cell in cells[:3] for n in numbers(cell)) for section, cells in rows().items()
    }
    assert said == {section: list(range(1, many + 1)) for section, many in SECTIONS.items()}
    assert sum(SECTIONS.values()) == 253


def test_the_evidence_is_there() -> None:
    for section, (holds, _, _, evidence) in rows().items():
        assert not holds.strip() or evidence.strip(), section
        for path in re.findall(r"`((?:tests|locks)/[\w./-]*)(?:::\w+)?`", evidence):
            assert (ROOT / path).exists(), (section, path)
        for link in re.findall(r"\]\(([^)]+)\)", evidence):
            assert (ROOT / link).is_file(), (section, link)


def test_everything_that_is_named_as_proof_is_there() -> None:
    """Of the whole page: files and folders, and tests by their names."""
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|bench|locks|deploy)/[\w./-]*)(?:::(\w+))?`", text)
    assert len(named) > 100
    for path, test in named:
        assert (ROOT / path).exists(), path
        assert not test or f"\ndef {test}(" in (ROOT / path).read_text(encoding="utf-8"), (path, test)


def test_what_is_open_is_explained() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8").rpartition("\nOpen:\n")[2]
    explained = set(re.findall(r"V\d+\.\d+\.\d+", text))
    assert explained == {f"{section}.{n}" for section, cells in rows().items() for n in numbers(cells[2])}
