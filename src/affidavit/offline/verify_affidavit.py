#!/usr/bin/env python3
"""Check what affidavit handed you, offline. One file, Python 3.8 or newer, nothing to install, no network.

    python verify_affidavit.py run.json --key KEY --checkpoint kept-elsewhere.txt

FILE may be the bundle of a run (`affidavit audit export`), a population (`audit population`), a proof of one event
(`audit prove`), a proof of growth (`audit consistency`) or a bare checkpoint (`audit checkpoint`). What is proved, and what is
not, is printed in plain words. Exit status: 0 everything that was asked for holds, 1 something does not, 2 it could not be read.

Formats: RFC 9162 (Merkle trees), RFC 8032 (Ed25519), c2sp.org/signed-note, /tlog-checkpoint, /tlog-proof, /tlog-cosignature,
/tlog-witness (the request, as a proof of growth).
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import html
import json
import re
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO, Dict, Mapping, Sequence, Tuple, Union, cast

LARGEST_BUNDLE = 256 * 1024 * 1024  # bytes read whole
LARGEST_LINE = 64 * 1024 * 1024  # bytes of one line of a population
LARGEST_SIZE = 2**62  # events of a log
LARGEST_INTEGER = 2**53 - 1  # as in the log's canonical JSON
MOST_SIGNATURES = 64
BUNDLE, POPULATION, PROOF = "affidavit-bundle/1", "affidavit-population/1", "c2sp.org/tlog-proof@v1"
ASKER, AUDITOR = "asker", "auditor"
ASKER_KINDS = ("run.started", "answer.released", "run.finished")


Point = Tuple[int, int, int, int]
Entry = Tuple[int, Dict[str, Any], Any]  # position, header, body


class Refused(Exception):
    """What was handed over does not hold. The message says what, for a person."""


class Unreadable(Exception):
    """The file or the request cannot be understood at all."""


# -- Ed25519 (RFC 8032, section 5.1.7), strict

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
_NEUTRAL = (0, 1, 1, 0)


def _add(a: Point, b: Point) -> Point:
    """Sum of two points in extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z."""
    m = (a[1] - a[0]) * (b[1] - b[0]) % _P
    n = (a[1] + a[0]) * (b[1] + b[0]) % _P
    c = 2 * a[3] * b[3] * _D % _P
    d = 2 * a[2] * b[2] % _P
    e, f, g, h = n - m, d - c, d + c, n + m
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _double(a: Point) -> Point:
    x, y, z = a[0], a[1], a[2]
    s, t = x * x % _P, y * y % _P
    h = s + t
    e = h - (x + y) * (x + y) % _P
    g = s - t
    f = 2 * z * z % _P + g
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _decode_point(data: bytes) -> Point | None:
    """The point that 32 bytes encode, None if they do not: y must be below p and x = 0 has no sign."""
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * v**3 * pow(u * v**7 % _P, (_P - 5) // 8, _P) % _P
    if (v * x * x - u) % _P:
        x = x * _ROOT % _P
    if (v * x * x - u) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _encode_point(point: Point) -> bytes:
    z = pow(point[2], _P - 2, _P)
    x, y = point[0] * z % _P, point[1] * z % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _small_order(point: Point) -> bool:
    eight = _double(_double(_double(point)))
    return eight[0] == 0 and eight[1] == eight[2]


_BASE = cast(Point, _decode_point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little")))


def ed25519_verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` (64 bytes) of ``message`` is by ``public`` (32 bytes).

    Strict: s below the group's order, canonical points only, none of small order, and the equation without the cofactor: a
    signature cannot be altered into another one that passes.
    """
    if len(public) != 32 or len(signature) != 64:
        return False
    key, r = _decode_point(public), _decode_point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= _L or _small_order(key) or _small_order(r):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    minus = (_P - key[0], key[1], 1, _P - key[3])
    table = (None, _BASE, minus, _add(_BASE, minus))
    total = _NEUTRAL
    for bit in range(252, -1, -1):  # s*B - k*A, both numbers at once
        total = _double(total)
        chosen = table[(s >> bit & 1) | (k >> bit & 1) << 1]
        if chosen is not None:
            total = _add(total, chosen)
    return _encode_point(total) == signature[:32]


# -- Merkle trees (RFC 9162, section 2.1)


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _climb(proof: Sequence[bytes], index: int, last: int, new: bytes, old: bytes) -> tuple[bytes, bytes]:
    for sibling in proof:
        if last == 0:
            raise Refused("a proof is longer than the tree is high")
        if index & 1 or index == last:
            new, old = node_hash(sibling, new), node_hash(sibling, old)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise Refused("a proof is shorter than the tree is high")
    return new, old


def check_inclusion(leaf: bytes, position: int, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """2.1.3.2: the leaf is at ``position`` of the tree of ``size`` leaves under ``root``."""
    if not 0 <= position < size:
        raise Refused(f"position {position} is not among the {size} events of the checkpoint")
    if _climb(proof, position, size - 1, leaf, leaf)[0] != root:
        raise Refused(f"the event at position {position} is not in the tree that was signed")


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """2.1.4.2: the tree of ``new`` leaves begins with the tree of ``old`` leaves."""
    if old > new:
        raise Refused(f"a proof of growth goes from {old} to {new} events")
    if old in (0, new):
        wanted = new_root if old else hashlib.sha256(b"").digest()
        if proof or old_root != wanted:
            raise Refused(f"FORK: two different logs of {old} events were signed")
        return
    path = list(proof) if old & (old - 1) else [old_root, *proof]
    index, last = old - 1, new - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    if not path or _climb(path[1:], index, last, path[0], path[0]) != (new_root, old_root):
        raise Refused(f"FORK: the log of {new} events does not begin with the log of {old} events")


class Frontier:
    """A growing tree, reduced to the roots of its perfect subtrees."""

    def __init__(self, size: int, hashes: Sequence[bytes]) -> None:
        if len(hashes) != bin(size).count("1"):
            raise Refused(
                "the hashes of the part before the first position are not as many as that part needs"
            )
        self.size, self.hashes = size, list(hashes)

    def append(self, leaf: bytes) -> None:
        number = self.size
        while number & 1:
            leaf = node_hash(self.hashes.pop(), leaf)
            number >>= 1
        self.hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.hashes:
            return hashlib.sha256(b"").digest()
        node = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            node = node_hash(left, node)
        return node


# -- strict reading


def canonical(value: object) -> bytes:
    """The one way affidavit writes a value: keys sorted, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_float(text: str) -> Any:
    raise ValueError(f"{text[:20]} is not a whole number")


def _integer(text: str) -> int:
    if len(text) > 17 or not -LARGEST_INTEGER <= int(text) <= LARGEST_INTEGER:
        raise ValueError(f"the number {text[:20]}... is too large")
    return int(text)


def parse(data: bytes, what: str) -> Any:
    """The value of canonical JSON; anything else, even one space more, is refused."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_no_float,
            parse_constant=_no_float,
            parse_int=_integer,
        )
        exact = canonical(value) == data
    except (ValueError, RecursionError) as error:
        raise Refused(f"{what} is not the JSON that affidavit writes ({str(error)[:200]})") from error
    if not exact:
        raise Refused(f"{what} is not written as affidavit writes it: it was edited or reformatted")
    return value


def shaped(value: Any, fields: Mapping[str, Any], what: str) -> dict[str, Any]:
    """``value`` if it is an object of exactly these fields and types."""
    if not isinstance(value, dict) or set(value) != set(fields):
        raise Refused("{} does not have the fields {}".format(what, ", ".join(sorted(fields))))
    for name, kind in fields.items():
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if type(value[name]) not in kinds:
            raise Refused(f"{what}: {name} is not of its type")
    return value


def from_base64(text: Any, length: int | None, what: str) -> bytes:
    """Base64 of exactly ``length`` bytes (None: any number), in its one canonical spelling."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error, AttributeError) as error:
        raise Refused(f"{what} is not base64") from error
    if base64.b64encode(raw).decode() != text or (length is not None and len(raw) != length):
        raise Refused(f"{what} is not base64 of the right length")
    return raw


def from_hex(text: str, length: int, what: str) -> bytes:
    if re.match(f"[0-9a-f]{{{2 * length}}}\\Z", text) is None:
        raise Refused(f"{what} is not {2 * length} hexadecimal digits")
    return bytes.fromhex(text)


def hashes(value: Any, what: str) -> list[bytes]:
    if not isinstance(value, list) or len(value) > 128:
        raise Refused(f"{what} is not a list of hashes")
    return [from_base64(text, 32, what) for text in value]


def decimal(text: str, what: str) -> int:
    if re.match("(0|[1-9][0-9]{0,18})\\Z", text) is None or int(text) > LARGEST_SIZE:
        raise Refused(f"{what} is not a number as it should be written")
    return int(text)


# -- signed notes, checkpoints, keys

LOG_KEY, WITNESS_KEY = 1, 4


class Key:
    """A public key in signed-note form: NAME+ID+BASE64."""

    def __init__(self, text: str) -> None:
        match = re.match(r"([^+\s]+)\+([0-9a-f]{8})\+(\S+)\Z", text)
        if match is None:
            raise Refused("the key is not of the form NAME+ID+BASE64")
        self.text, self.name = text, match.group(1)
        raw = from_base64(match.group(3), 33, "the key")
        self.kind, self.public = raw[0], raw[1:]
        self.id = hashlib.sha256(self.name.encode("utf-8") + b"\n" + raw).digest()[:4]
        if self.kind not in (LOG_KEY, WITNESS_KEY) or self.id.hex() != match.group(2):
            raise Refused("the key's id is not that of the key, or it is not an Ed25519 key")


class Note:
    """A text and the signature lines under it."""

    def __init__(self, note: str, what: str) -> None:
        self.what = what
        text, blank, lines = note.rpartition("\n\n")
        if not blank or not lines.endswith("\n") or re.search("[\x00-\x09\x0b-\x1f]", note):
            raise Refused(f"{what} is not a signed note")
        self.text = text + "\n"
        self.signatures: list[tuple[str, bytes]] = []
        for line in lines[:-1].split("\n"):
            match = re.match("\u2014 ([^+\\s]+) (\\S+)\\Z", line)
            if match is None or len(self.signatures) == MOST_SIGNATURES:
                raise Refused(f"{what} has a line among its signatures that is none")
            self.signatures.append((match.group(1), from_base64(match.group(2), None, "a signature")))

    def signed_by(self, key: Key) -> int | None:
        """None if ``key`` did not sign, else the time in seconds that a witness says, 0 for others.

        Raises Refused for a false signature.
        """
        for name, raw in self.signatures:
            if name != key.name or raw[:4] != key.id:
                continue
            message, signature, told = self.text.encode("utf-8"), raw[4:], 0
            if key.kind == WITNESS_KEY:
                told = int.from_bytes(signature[:8], "big")
                message, signature = b"cosignature/v1\ntime %d\n" % told + message, signature[8:]
            if not ed25519_verify(key.public, signature, message):
                raise Refused(f"the signature of {name} under {self.what} is false")
            return told
        return None


class Checkpoint:
    """A tree head that ``key`` signed."""

    def __init__(self, note: str, key: Key, what: str) -> None:
        self.note = Note(note, what)
        lines = self.note.text.split("\n")
        if len(lines) != 4 or lines[0] != key.name:
            raise Refused(f"{what} is not a checkpoint of the log {key.name}")
        self.size = decimal(lines[1], f"the number of events of {what}")
        self.root = from_base64(lines[2], 32, f"the root of {what}")
        if self.note.signed_by(key) is None:
            raise Refused(f"{what} is not signed by the log's key")

    def __str__(self) -> str:
        return f"the log of {self.size} events that was signed under the root {self.root.hex()}"


def check_seal(seal: str, key: Key, kind: str, digest: str) -> None:
    """The exporter's signature over the whole file."""
    note = Note(seal, "the seal")
    if note.text != f"{kind}\n{digest}\n" or len(note.signatures) != 1 or note.signed_by(key) is None:
        raise Refused("the seal is not that of this file: something was changed after it was exported")


# -- events

HEADER = {"v": int, "kind": str, "at": int, "tenant": int, "facts": dict}


def read_header(text: str, what: str) -> tuple[bytes, dict[str, Any]]:
    """A header's fields from its exact bytes."""
    data = text.encode("utf-8", "surrogatepass")
    header = parse(data, f"the header of {what}")
    extra = {name: str for name in ("run", "body") if isinstance(header, dict) and name in header}
    fields = dict(HEADER, **extra)
    return data, shaped(header, fields, f"the header of {what}")


def read_body(body: Any, header: Mapping[str, Any], what: str) -> Any:
    """The body's value, if it is the one that the header commits to."""
    shaped(body, {"salt": str, "data": str}, f"the body of {what}")
    salt = from_hex(body["salt"], 16, f"the salt of {what}")
    data = body["data"].encode("utf-8", "surrogatepass")
    said = hmac.new(salt, data, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(said, header.get("body", "")):
        raise Refused(f"the body of {what} is not the one that was recorded")
    return parse(data, f"the body of {what}")


def instant(microseconds: int) -> str:
    """ISO 8601, UTC, to the second."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=microseconds // 10**6)
    except OverflowError:
        return "a time out of range"
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def clean(text: object) -> str:
    """``text`` with whatever could move a cursor or hide itself made visible."""
    return _HIDDEN.sub(lambda m: f"\\x{ord(m.group()):02x}", str(text))


# -- the bundle of a run

BUNDLE_FIELDS = {
    "format": str,
    "key": str,
    "checkpoint": str,
    "run": str,
    "view": str,
    "events": list,
    "release": str,
    "consistency": list,
    "page": str,
    "seal": str,
}
EVENT_FIELDS = {"position": int, "header": str, "body": (dict, type(None)), "proof": list}


class Bundle:
    """A run's bundle, checked while it is read. ``story`` holds (position, header, body or None) in order."""

    def __init__(self, data: bytes, key: Key | None = None) -> None:
        value = shaped(parse(data, "the bundle"), BUNDLE_FIELDS, "the bundle")
        if value["format"] != BUNDLE:
            raise Refused(f"the bundle is of another format than {BUNDLE}")
        self.value, self.view, self.run = value, value["view"], value["run"]
        self.key = Key(value["key"])
        if key is not None and key.text != self.key.text:
            raise Refused("the bundle names another key than the one you trust")
        self.checkpoint = Checkpoint(value["checkpoint"], self.key, "the bundle's checkpoint")
        if len(self.checkpoint.note.signatures) != 1:
            raise Refused("the bundle's checkpoint has a signature that nothing vouches for")
        self.story = [self._event(event) for event in value["events"]]
        self.missing = [p for p, header, body in self.story if "body" in header and body is None]
        self._order()
        self._release()
        self.growth = [self._growth(entry) for entry in value["consistency"]]
        if value["page"] != render_page(value):
            raise Refused("the page for people does not say what the events say")
        rest = {name: value[name] for name in value if name != "seal"}
        check_seal(value["seal"], self.key, BUNDLE, hashlib.sha256(canonical(rest)).hexdigest())

    def _event(self, event: Any) -> Entry:
        shaped(event, EVENT_FIELDS, "an event")
        what = "position {}".format(event["position"])
        data, header = read_header(event["header"], what)
        proof = hashes(event["proof"], f"the proof of {what}")
        check_inclusion(leaf_hash(data), event["position"], self.checkpoint.size, self.checkpoint.root, proof)
        if header.get("run") != self.run:
            raise Refused(f"{what} is of another run")
        body = None if event["body"] is None else read_body(event["body"], header, what)
        return event["position"], header, body

    def of(self, kind: str) -> list[Entry]:
        return [(position, header, body) for position, header, body in self.story if header["kind"] == kind]

    def _order(self) -> None:
        positions = [position for position, _, _ in self.story]
        if positions != sorted(set(positions)):
            raise Refused("the events are not in the order of their positions, or one stands twice")
        if self.view not in (ASKER, AUDITOR):
            raise Refused("the bundle is neither an asker's nor an auditor's")
        if not self.story or self.story[0][1]["kind"] != "run.started":
            raise Refused("the bundle does not begin with the start of the run")
        if len({header["tenant"] for _, header, _ in self.story}) != 1:
            raise Refused("the bundle mixes tenants")
        for kind in ASKER_KINDS:
            if len(self.of(kind)) > 1:
                raise Refused(f"the run holds {kind} twice")
        if self.view == ASKER and any(h["kind"] not in ASKER_KINDS for _, h, _ in self.story):
            raise Refused("an asker's bundle holds what only an auditor may see")
        if self.view == AUDITOR:
            self._complete()

    def _complete(self) -> None:
        """Steps are numbered from 1, and the end says how many there were and how many decisions."""
        steps = [header["facts"].get("step") for _, header, _ in self.of("step.recorded")]
        if steps != list(range(1, len(steps) + 1)):
            raise Refused("a step of the run is missing")
        for _, header, body in self.of("run.finished"):
            if header["facts"].get("steps") != len(steps):
                raise Refused(
                    "the run had {} steps, the bundle holds {}".format(
                        header["facts"].get("steps"), len(steps)
                    )
                )
            decisions = len(self.of("decision.made"))
            if isinstance(body, dict) and body.get("decisions", decisions) != decisions:
                raise Refused("a decision of the run is missing")

    def says(self) -> list[str]:
        """What the events say, in a few lines."""
        _, started, asked = self.story[0]
        lines = [f"{started['facts'].get('journey')} of {instant(started['at'])}, {self.run}"]
        for name in ("principal", "question"):
            if _get(asked, name) is not None:
                lines.append(f"{name}: {_shown(_get(asked, name))}")
        for _, _, given in self.of("answer.released"):
            refusal = _get(given, "refusal")
            lines.append(
                f"refused: {_shown(_get(refusal, 'message'))}"
                if refusal
                else f"answer: {_shown(_get(given, 'answer'))}"
            )
        return lines + [f"ended: {_shown(h['facts'].get('status'))}" for _, h, _ in self.of("run.finished")]

    def gapless(self) -> bool:
        return self.story[-1][0] - self.story[0][0] + 1 == len(self.story)

    def _release(self) -> None:
        cited = self.story[0][1]["facts"].get("release")
        data = self.value["release"].encode("utf-8", "surrogatepass")
        parse(data, "the release")
        if hashlib.sha256(data).hexdigest() != cited:
            raise Refused("the release is not the one that the run cites")

    def _growth(self, entry: Any) -> Growth:
        shaped(entry, {"size": int, "root": str, "proof": list}, "a proof of growth")
        root = from_base64(entry["root"], 32, "an older root")
        proof = hashes(entry["proof"], "a proof of growth")
        check_consistency(entry["size"], root, self.checkpoint.size, self.checkpoint.root, proof)
        return Growth(entry["size"], self.checkpoint, proof)

    def proved(self) -> list[str]:
        first, last = self.story[0][0], self.story[-1][0]
        lines = [
            f"The {len(self.story)} events of {self.run} in this file are in the log, at the positions they name, byte for byte.",
            f"What was signed is {self.checkpoint}.",
            "The texts in this file are the recorded ones: each matches the commitment in its event.",
            "The release (everything that decides) is the one that the run cites.",
            "The page for people says what the events say, and nothing in the file was changed after it was exported.",
        ]
        if self.view == AUDITOR and self.of("run.finished"):
            lines.append("The run is whole: every numbered step from its start to its end is here.")
            if self.gapless():
                lines.append(f"Nothing was left out between: positions {first} to {last} have no gap.")
        return lines

    def not_proved(self) -> list[str]:
        lines = []
        if self.view == ASKER:
            lines.append(
                "What was not shown to the asker: this is the asker's view. The steps between are for auditors."
            )
        elif not self.gapless():
            lines.append(
                "That no unnumbered event of the run was left out: other events lie between, which this file does not hold."
            )
        if self.view == AUDITOR and not self.of("run.finished"):
            lines.append("How the run ended: its end is not on record yet.")
        if self.missing:
            lines.append(
                "What these positions said, whose texts are withheld or erased: {}.".format(
                    ", ".join(map(str, self.missing[:20]))
                )
            )
        return lines


class Growth:
    """A proof that the tree of ``old`` leaves is the beginning of a signed checkpoint's tree."""

    def __init__(self, old: int, new: Checkpoint, proof: list[bytes]) -> None:
        self.old, self.new, self.proof = old, new, proof


# -- a population: every run of an interval, and that none is missing

HEAD_FIELDS = {
    "format": str,
    "key": str,
    "checkpoint": str,
    "from": int,
    "to": int,
    "tenant": int,
    "first": int,
    "stop": int,
    "left": list,
    "right": list,
}


class Population:
    """Reads a population line by line and works out from the events what its lines about runs must say."""

    def __init__(self, lines: BinaryIO, key: Key | None = None) -> None:
        self._lines = lines
        self._digest = hashlib.sha256()
        self.runs: dict[str, dict[str, Any]] = {}
        self.withheld = 0
        self._last: int | None = None
        head = shaped(self._next("head"), HEAD_FIELDS, "the head")
        if head["format"] != POPULATION:
            raise Refused(f"the population is of another format than {POPULATION}")
        self.head, self.key = head, Key(head["key"])
        if key is not None and key.text != self.key.text:
            raise Refused("the population names another key than the one you trust")
        self.checkpoint = Checkpoint(head["checkpoint"], self.key, "the population's checkpoint")
        if len(self.checkpoint.note.signatures) != 1:
            raise Refused("the population's checkpoint has a signature that nothing vouches for")
        if not 0 <= head["first"] <= head["stop"] <= self.checkpoint.size or head["from"] > head["to"]:
            raise Refused("the interval is not one of this log")
        if head["first"] == head["stop"] and self.checkpoint.size:
            raise Refused("the population holds no event, not even those before and after its interval")
        self._events()
        self._summary()

    def _line(self) -> bytes:
        line = self._lines.readline(LARGEST_LINE)
        if not line.endswith(b"\n"):
            raise Refused("the population is cut off, or a line is too long")
        return line

    def _next(self, name: str) -> Any:
        line = self._line()
        self._digest.update(line)
        value = parse(line[:-1], "a line of the population")
        if not isinstance(value, dict) or set(value) != {name}:
            raise Refused(
                f"the population has another line where {name} should be: one is missing or too many"
            )
        return value[name]

    def _events(self) -> None:
        first, stop = self.head["first"], self.head["stop"]
        frontier = Frontier(first, hashes(self.head["left"], "the part before"))
        for position in range(first, stop):
            frontier.append(self._event(position, self._next("event")))
        right = hashes(self.head["right"], "the part after")
        check_consistency(stop, frontier.root(), self.checkpoint.size, self.checkpoint.root, right)

    def _event(self, position: int, event: Any) -> bytes:
        what = f"position {position}"
        if isinstance(event, dict) and "leaf" in event:
            shaped(event, {"position": int, "leaf": str}, what)
            self._numbered(position, event)
            if not self.head["tenant"]:
                raise Refused(f"{what} is withheld from a population of the whole log")
            self.withheld += 1
            return from_hex(event["leaf"], 32, what)
        shaped(event, {"position": int, "header": str, "body": (dict, type(None))}, what)
        self._numbered(position, event)
        data, header = read_header(event["header"], what)
        self._note(position, header, event["body"])
        return leaf_hash(data)

    def _numbered(self, position: int, event: Mapping[str, Any]) -> None:
        if event["position"] != position:
            raise Refused(f"position {position} is missing")

    def _note(self, position: int, header: Mapping[str, Any], body: Any) -> None:
        """Time runs on, only the events just outside may be outside, and runs are what they are."""
        head, at, kind = self.head, header["at"], header["kind"]
        if self._last is not None and at < self._last:
            raise Refused(f"time runs backwards at position {position}")
        self._last = at
        tenant = header["tenant"]
        if head["tenant"] and tenant not in (0, head["tenant"]):
            raise Refused(f"position {position} is of another tenant")
        outside = at < head["from"] or at >= head["to"]
        if outside and not (
            (position == head["first"] and at < head["from"])
            or (position == head["stop"] - 1 and at >= head["to"])
        ):
            raise Refused(f"position {position} is not of the interval")
        self._edge(position, at)
        if kind == "run.started" and not outside:
            self._started(position, header, body)
        elif body is not None:
            raise Refused(f"position {position} has a text that a population does not hold")
        elif kind == "run.finished" and not outside and header.get("run") in self.runs:
            run = self.runs[header["run"]]
            if run["finished"] is not None:
                raise Refused("{} ends twice".format(header["run"]))
            run["finished"], run["status"] = position, header["facts"].get("status")

    def _edge(self, position: int, at: int) -> None:
        head = self.head
        if position == head["first"] and position > 0 and at >= head["from"]:
            raise Refused("the event before the interval is missing: runs at its beginning may be")
        if position == head["stop"] - 1 and head["stop"] < self.checkpoint.size and at < head["to"]:
            raise Refused("the event after the interval is missing: runs at its end may be")

    def _started(self, position: int, header: Mapping[str, Any], body: Any) -> None:
        run = header.get("run", "")
        if run in self.runs:
            raise Refused(f"{run} starts twice")
        said = None if body is None else read_body(body, header, f"position {position}")
        self.runs[run] = {
            "run": run,
            "tenant": header["tenant"],
            "position": position,
            "finished": None,
            "at": instant(header["at"]),
            "journey": header["facts"].get("journey"),
            "who": said.get("principal") if isinstance(said, dict) else None,
            "status": "unfinished",
            "release": header["facts"].get("release"),
        }

    def _summary(self) -> None:
        days: dict[str, int] = {}
        for run in self.runs.values():
            days[run["at"][:10]] = days.get(run["at"][:10], 0) + 1
            if self._next("run") != run:
                raise Refused("the line about {} does not say what the events say".format(run["run"]))
        count = self.head["stop"] - self.head["first"]
        end = {"days": days, "runs": len(self.runs), "events": count, "withheld": self.withheld}
        if self._next("end") != end:
            raise Refused("the counts are not those of the events")
        digest = self._digest.hexdigest()
        check_seal(self._next("seal"), self.key, POPULATION, digest)
        if self._lines.read(1):
            raise Refused("something was added after the end")

    def says(self) -> list[str]:
        """Runs a day."""
        days: dict[str, int] = {}
        for run in self.runs.values():
            days[run["at"][:10]] = days.get(run["at"][:10], 0) + 1
        return [f"{day}: {count} runs" for day, count in sorted(days.items())]

    def proved(self) -> list[str]:
        head = self.head
        lines = [
            f"Positions {head['first']} to {head['stop'] - 1} are all here, without a gap, and are in {self.checkpoint}.",
            f"{len(self.runs)} runs began between {instant(head['from'])} and {instant(head['to'])}, and the lines about them "
            "say what the events say.",
            "Nothing in the file was changed after it was exported.",
        ]
        if not self.withheld:
            lines.append(
                "No run of the interval is missing: every event of it is here, and the events before and after it."
            )
        return lines

    def not_proved(self) -> list[str]:
        lines = []
        if self.withheld:
            lines.append(
                f"That none of the {self.withheld} events of other tenants, here by their hash alone, is a run of this tenant: "
                "that is the exporter's word. A population of the whole log would prove it."
            )
        if self.head["stop"] == self.checkpoint.size:
            lines.append(
                "That nothing happened after the last position: the log ended there when it was signed."
            )
        lines.append("How runs ended that were open at the end of the interval.")
        return lines


# -- proofs of one event, proofs of growth


class Inclusion:
    """A c2sp.org/tlog-proof. The event's header is its extra line, or is handed in."""

    def __init__(self, text: str, key: Key, entry: bytes | None = None) -> None:
        head, blank, note = text.partition("\n\n")
        lines = head.split("\n")
        if lines[0] != PROOF or not blank:
            raise Refused(f"this is not a proof of form {PROOF}")
        lines = lines[1:]
        if lines and lines[0].startswith("extra "):
            extra = from_base64(lines.pop(0)[6:], None, "the extra line")
            if entry is not None and entry != extra:
                raise Refused("the proof is about another event than the one you hold")
            entry = extra
        if entry is None:
            raise Unreadable("the proof does not hold its event; hand it in with --entry FILE")
        if not lines or not lines[0].startswith("index "):
            raise Refused("the proof names no index")
        self.position = decimal(lines[0][6:], "the index")
        self.checkpoint = Checkpoint(note, key, "the proof's checkpoint")
        self.key, self.entry = key, entry
        path = hashes(lines[1:], "the proof")
        check_inclusion(leaf_hash(entry), self.position, self.checkpoint.size, self.checkpoint.root, path)

    def says(self) -> list[str]:
        """The event's header."""
        return [self.entry.decode("utf-8", "replace")[:2000]]

    def proved(self) -> list[str]:
        return [f"This event is at position {self.position} of {self.checkpoint}."]

    def not_proved(self) -> list[str]:
        return ["What the event's text says: an event holds a commitment to it, the text is apart."]


def read_growth(text: str, key: Key) -> Growth:
    """A proof of growth: ``old N``, hashes, and the newer checkpoint (the request of c2sp.org/tlog-witness)."""
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    if not blank or not lines[0].startswith("old "):
        raise Refused("this is not a proof of growth")
    new = Checkpoint(note, key, "the newer checkpoint")
    return Growth(decimal(lines[0][4:], "the older size"), new, hashes(lines[1:], "the proof"))


def link(one: Checkpoint, other: Checkpoint, proofs: Sequence[Growth]) -> bool:
    """That of two checkpoints one log begins with the other. Raises Refused for a fork; False if no proof leads across."""
    old, new = (one, other) if one.size <= other.size else (other, one)
    reached = {old.size: old.root}
    for proof in sorted(proofs, key=lambda p: p.new.size):
        if proof.old in reached and proof.new.size <= new.size:
            check_consistency(proof.old, reached[proof.old], proof.new.size, proof.new.root, proof.proof)
            reached[proof.new.size] = proof.new.root
    if new.size not in reached:
        return False
    if reached[new.size] != new.root:
        raise Refused(f"FORK: two different logs of {new.size} events were signed with the same key")
    return True


# -- the page for people

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}"
    "h2{margin-top:2rem}table{border-collapse:collapse;width:100%}td,th{border:1px solid #bbb;padding:.3rem .5rem;"
    "text-align:left;vertical-align:top;overflow-wrap:anywhere}pre{background:#f3f3f3;padding:.5rem;white-space:pre-wrap;"
    "overflow-wrap:anywhere}blockquote{border-left:4px solid #888;margin:.5rem 0;padding:0 1rem;white-space:pre-wrap}"
)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return html.escape(clean(value if isinstance(value, str) else canonical(value).decode("utf-8")))


def _shown(value: Any) -> str:
    """A value on one line of a terminal."""
    text = value if isinstance(value, str) else canonical(value).decode("utf-8")
    return " ".join(text.split())[:1000]


def _table(rows: Sequence[Sequence[str]]) -> str:
    return "<table>{}</table>".format(
        "".join("<tr>{}</tr>".format("".join(f"<td>{cell}</td>" for cell in row)) for row in rows)
    )


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _items(value: Any, name: str) -> list[Any]:
    found = _get(value, name)
    return found if isinstance(found, list) else []


def render_page(bundle: Mapping[str, Any]) -> str:
    """The page that people read: a function of the bundle's events, release, checkpoint and key, and of nothing else."""
    events = []
    for event in bundle["events"]:
        body = event["body"]
        events.append(
            (
                event["position"],
                json.loads(event["header"]),
                None if body is None else json.loads(body["data"]),
            )
        )
    by_kind = {header["kind"]: (position, header, body) for position, header, body in events}
    _, started, asked = by_kind.get("run.started", (0, {"at": 0, "facts": {}}, None))
    _, ended, _ = by_kind.get("run.finished", (0, {"facts": {}}, None))
    given = by_kind.get("answer.released", (0, {}, None))[2]
    title = "{} of {}".format(_text(started["facts"].get("journey")), instant(started["at"]))
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>",
        "<p>This page was made from the events below. Do not trust it by itself: "
        "<code>python verify_affidavit.py</code> checks the file it came in.</p>",
        _table(
            [
                ("run", _text(bundle["run"])),
                ("asked by", _text(_get(asked, "principal"))),
                ("question", _text(_get(asked, "question"))),
                ("outcome", _text(ended["facts"].get("status"))),
                ("release", _text(started["facts"].get("release"))),
                ("view", "everything (auditor)" if bundle["view"] == AUDITOR else "what the asker was given"),
            ]
        ),
        _answer(given),
        "<h2>Events</h2>",
        _table([("position", "time", "event", "facts", "text")] + [_row(*event) for event in events]),
        "<h2>Proof</h2><pre>{}</pre><p>The log's public key: <code>{}</code></p>".format(
            _text(bundle["checkpoint"]), _text(bundle["key"])
        ),
        "<h2>What this does not prove</h2><ul>{}</ul></body></html>\n".format(
            "".join(f"<li>{_text(line)}</li>" for line in ALWAYS)
        ),
    ]
    return "\n".join(parts)


def _answer(given: Any) -> str:
    parts = ["<h2>Given</h2>"]
    refusal = _get(given, "refusal")
    if refusal is not None:
        parts.append("<p>Refused: {}</p>".format(_text(_get(refusal, "message"))))
    for claim in _items(given, "claims"):
        parts.append("<p>{}</p>".format(_text(_get(claim, "text"))))
        for cited in _items(claim, "citations"):
            names = ("title", "source", "document", "revision", "start", "end", "location", "permitted_by")
            parts.append("<blockquote>{}</blockquote>".format(_text(_get(cited, "quote"))))
            parts.append(_table([(name, _text(_get(cited, name))) for name in names]))
    if len(parts) == 1:
        parts.append("<p>{}</p>".format(_text(_get(given, "answer"))))
    return "\n".join(parts)


def _row(position: int, header: Mapping[str, Any], body: Any) -> tuple[str, ...]:
    shown = "-"
    if body is not None:
        shown = f"<details><summary>text</summary><pre>{_text(body)}</pre></details>"
    elif "body" in header:
        shown = "withheld or erased"
    return (str(position), instant(header["at"]), _text(header["kind"]), _text(header["facts"]), shown)


# -- the command

Subject = Union[Bundle, Population, Inclusion, "Bare"]

ALWAYS = (
    "That a document was true, or that the answer is right: only what was read, decided and given.",
    "That the person named is that person: affidavit records who was signed in, or whom the operator named.",
    "That the clock was right: times are the machine's own, and only their order is fixed by the log.",
)
NO_KEY = (
    "Whose log this is: the key is only what this file says it is. Get the key from the log's owner by another way and give it "
    "with --key."
)
NO_CHECKPOINT = (
    "That whoever holds the log's key did not rewrite history before this was signed. That needs a checkpoint kept outside "
    "their reach: give it with --checkpoint."
)


def _read(path: str, largest: int = LARGEST_BUNDLE) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > largest:
        raise Unreadable(f"{path} is larger than {largest} bytes")
    return data


def _note_text(path: str) -> str:
    try:
        return _read(path, 1 << 20).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"{path} is not text") from error


def _key(text: str) -> Key:
    """A key, or the file that holds it."""
    try:
        return Key((text if "+" in text and not Path(text).exists() else _note_text(text)).strip())
    except OSError as error:  # longer than a file's name can be
        raise Unreadable(f"{text[:200]} is neither a key nor a file") from error
    except Refused as error:
        raise Unreadable(f"{text[:200]}: {error}") from error


class Bare:
    """A checkpoint by itself, or a proof of growth: nothing but a signed tree head."""

    def __init__(self, checkpoint: Checkpoint, key: Key, growth: Sequence[Growth] = ()) -> None:
        self.checkpoint, self.key, self.growth = checkpoint, key, list(growth)

    def says(self) -> list[str]:
        """Its text."""
        return self.checkpoint.note.text.splitlines()

    def proved(self) -> list[str]:
        return [f"The log's key vouches for {self.checkpoint}."]

    def not_proved(self) -> list[str]:
        return ["Anything about what these events are: a checkpoint holds no event."]


def _open(path: str, key: Key | None, entry: bytes | None) -> tuple[str, Subject]:
    """What FILE is, checked."""
    with _opened(path) as file:
        start = file.read(64)
        file.seek(0)
        if start.startswith(b'{"head":'):
            return "population", Population(file, key)
    if start.startswith(b"{"):
        return "bundle", Bundle(_read(path), key)
    if key is None:
        raise Unreadable("this file does not hold the log's key: give it with --key")
    text = _note_text(path)
    if text.startswith(PROOF):
        return "proof of an event", Inclusion(text, key, entry)
    if text.startswith("old "):
        growth = read_growth(text, key)
        return "proof of growth", Bare(growth.new, key, [growth])
    return "checkpoint", Bare(Checkpoint(text, key, "the checkpoint"), key)


def _opened(path: str) -> BinaryIO:
    try:
        file = Path(path).open("rb")  # noqa: SIM115  # closed by the caller
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error
    if file.seekable():
        return file
    file.close()
    raise Unreadable(f"{path} is not a file")


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that was asked for: ``kind``, and lines of what it ``says``, ``proved`` and ``not_proved``.

    Raises Refused or Unreadable.
    """
    key = _key(options.key) if options.key else None
    entry = _read(options.entry) if options.entry else None
    witnesses = [_key(text) for text in options.witness]
    kind, subject = _open(options.file, key, entry)
    proved, not_proved = subject.proved(), subject.not_proved()
    growth = list(getattr(subject, "growth", ()))
    growth += [read_growth(_note_text(path), subject.key) for path in options.consistency]
    notes = [subject.checkpoint.note]
    for path in options.checkpoint:
        kept = Checkpoint(_note_text(path), subject.key, f"the checkpoint {path}")
        small, large = sorted((kept.size, subject.checkpoint.size))
        if not link(kept, subject.checkpoint, growth):
            raise Refused(
                f"nothing here links the {kept.size} events of {path} with the {subject.checkpoint.size} of this file: "
                f"ask for `affidavit audit consistency {small} {large}` and give it with --consistency"
            )
        notes.append(kept.note)
        proved.append(
            f"It is the same history as the checkpoint of {kept.size} events in {path}: nothing before position {small} "
            "was rewritten since."
        )
    proved += [_witnessed(witness, notes) for witness in witnesses]
    not_proved += ([] if key else [NO_KEY]) + ([] if options.checkpoint else [NO_CHECKPOINT])
    if options.page:
        _write_page(options.page, subject)
    not_proved += ALWAYS
    return {"kind": kind, "says": subject.says(), "proved": proved, "not_proved": not_proved}


def _witnessed(witness: Key, notes: Sequence[Note]) -> str:
    for note in notes:
        told = note.signed_by(witness)
        if told is not None:
            when = f" at {instant(told * 10**6)}" if witness.kind == WITNESS_KEY else ""
            return f"{note.what[:1].upper() + note.what[1:]} was seen and signed by {witness.name}{when}."
    raise Refused(f"the witness {witness.name} signed none of these checkpoints")


def _write_page(path: str, subject: Subject) -> None:
    if not isinstance(subject, Bundle):
        raise Unreadable("only the bundle of a run has a page")
    try:
        with Path(path).open("w", encoding="utf-8") as file:
            file.write(subject.value["page"])
    except OSError as error:
        raise Unreadable(f"{path} cannot be written: {error.strerror}") from error


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    head, _, rest = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=head, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", help="what affidavit handed you")
    parser.add_argument("--key", help="the log's public key, NAME+ID+BASE64, or a file that holds it")
    parser.add_argument(
        "--checkpoint",
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint that was kept elsewhere",
    )
    parser.add_argument(
        "--consistency",
        action="append",
        default=[],
        metavar="FILE",
        help="a proof of growth that links the two",
    )
    parser.add_argument(
        "--witness", action="append", default=[], metavar="KEY", help="a witness that must have signed too"
    )
    parser.add_argument("--entry", metavar="FILE", help="the event that a proof without one is about")
    parser.add_argument("--page", metavar="FILE", help="write the bundle's page, once it is checked")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 holds, 1 does not, 2 could not be read."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that knows fewer characters
            stream.reconfigure(errors="backslashreplace")
    options = _options(arguments)
    told = {"file": options.file, "ok": False}
    try:
        told.update(check(options), ok=True)
        status = 0
    except Refused as error:
        told["error"], status = str(error), 1
    except Unreadable as error:
        told["error"], status = str(error), 2
    except (RecursionError, MemoryError):
        told["error"], status = "the file is nested too deep or too large", 1
    if options.json:
        print(json.dumps(told, ensure_ascii=True, sort_keys=True))
        return status
    if status:
        print(
            clean(
                "NOT PROVED: {}".format(told["error"]) if status == 1 else "error: {}".format(told["error"])
            )
        )
        return status
    print(clean("This {} holds.".format(told["kind"])))
    for title, name in (("It says:", "says"), ("Proved:", "proved"), ("NOT proved:", "not_proved")):
        print(f"\n{title}")
        for line in told[name]:
            print(clean(f"  * {line}"))
    return status


if __name__ == "__main__":
    sys.exit(main())
