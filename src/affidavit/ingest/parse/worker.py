"""The process in which documents are parsed: little memory, little time, no files, no network, no other processes.

It reads requests from standard input and writes answers to standard output, one after the other, until the input ends. It loads
everything first and then gives up the right to open anything: a document that takes the parser over can compute and lie about its
own text, and that is all. Not to be started by hand; ``pool.py`` does it.
"""

from __future__ import annotations

import codecs
import encodings
import json
import os
import pkgutil
import resource
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from affidavit.domain.errors import ParseError
from affidavit.domain.records import Parsed
from affidavit.ingest.parse.code import preload
from affidavit.ingest.parse.read import parse

_LENGTH = struct.Struct(">Q")  # as in pool.py, which must not load this module
_WANTS = "Save it anew from its own program; if that does not help, report this file as a bug."
_SAMPLES: Mapping[str, bytes] = {
    "text/markdown": b"---\ntitle: t\n---\n# a\n\n| b |\n|---|\n| c |\n",
    "text/html": b"<title>t</title><p>a<ol><li>b</ol><table><tr><td>c</table>",
    "message/rfc822": b"From: A <a@b.example>\nTo: c@d.example\nSubject: =?utf-8?q?t?=\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n"
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Transfer-Encoding: base64\n\nYQ==\n--x\n"
    b"Content-Type: text/plain; name=b\nContent-Disposition: attachment\nContent-Transfer-Encoding: quoted-printable\n\n"
    b"b=20\n--x--\n",
    "application/pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj "
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj "
    b"4 0 obj<</Length 29>>stream\nBT /F 9 Tf 9 9 Td (a b) Tj ET\nendstream endobj "
    b"5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj trailer<</Root 1 0 R>>",
    "application/rtf": b"{\\rtf1 a\\par}",
    "application/json": b'{"a": 1}',
    "text/x-python": b"def f():\n    pass\n",
}


def main() -> None:
    """Serve until the input ends. Arguments: bytes of memory and seconds of processor time a document may take."""
    memory, seconds = int(sys.argv[1]), int(sys.argv[2])
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    _load()
    _give_up(memory)
    _send(answers, b"{}")  # ready
    while (request := _frame(requests)) is not None:
        header = json.loads(request)
        data = _frame(requests)
        if data is None:
            return
        _allow(seconds)
        frame, exhausted = _answer(data, header["media_type"], header["name"])
        _send(answers, frame)
        if exhausted:
            return


def _load() -> None:
    """Import whatever parsing may need later."""
    for module in pkgutil.iter_modules(encodings.__path__):
        try:
            codecs.lookup(module.name)
        except LookupError:
            continue  # a helper, or one of another system
    for media_type, sample in _SAMPLES.items():
        parse(sample, media_type, "x")
    preload()


def _give_up(memory: int) -> None:
    """No more files, sockets, children, core dumps; so much memory on top of what is in use."""
    pages = Path("/proc/self/statm")
    in_use = int(pages.read_text().split()[0]) * resource.getpagesize() if pages.exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (in_use + memory, in_use + memory))
    for what in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC, resource.RLIMIT_NOFILE):
        resource.setrlimit(what, (0, 0))


def _allow(seconds: int) -> None:
    """Processor time for one more document; the system ends the process that takes more."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + seconds + 1, hard))


def _send(stream: BinaryIO, frame: bytes) -> None:
    stream.write(_LENGTH.pack(len(frame)) + frame)
    stream.flush()


def _frame(stream: BinaryIO) -> bytes | None:
    """The next frame, None at the end."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    return data if len(data) == length else None


def _answer(data: bytes, media_type: str, name: str) -> tuple[bytes, bool]:
    """The answer's frame, and whether this process must not go on."""
    try:
        return json.dumps(encoded(parse(data, media_type, name))).encode("ascii"), False
    except ParseError as error:
        said = [error.code, error.message, error.hint]
    except OSError as error:  # a library wants a file after all
        said = ["parse", f"its parser may not open files, and tried to: {error.strerror}.", _WANTS]
    except MemoryError:
        return b'{"exhausted": "memory"}', True
    except RecursionError:
        return b'{"exhausted": "depth"}', True
    return json.dumps({"error": said}).encode("ascii"), False


def encoded(parsed: Parsed) -> dict[str, Any]:
    """``parsed`` as JSON; paths, which many blocks share, stand once."""
    paths: dict[tuple[str, ...], int] = {}
    blocks = [[b.kind, b.start, b.end, paths.setdefault(b.path, len(paths)), b.flag] for b in parsed.blocks]
    return {
        "text": parsed.text,
        "title": parsed.title,
        "media_type": parsed.media_type,
        "metadata": dict(parsed.metadata),
        "paths": [list(path) for path in paths],
        "blocks": blocks,
        "notices": [[n.code, n.message, n.hint] for n in parsed.notices],
    }
