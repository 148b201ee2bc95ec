"""verify_affidavit.py as its user has it: alone in a bare directory, in Python's isolated mode, given good and hostile files."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.offline.made import DAY, Made, make, sealed

from affidavit.app.proofs import verifier_source
from affidavit.domain.canonical import canonical
from affidavit.events.merkle import leaf_hash
from affidavit.events.note import Checkpoint as Signed
from affidavit.offline.verify_affidavit import (
    Bundle,
    Checkpoint,
    Key,
    Note,
    Refused,
    from_base64,
    main,
    parse,
)
from affidavit.testing.clock import START

KEPT_KEY = "affidavit/310f2267dced1d40+10a2cc50+AVgVucQz/s5/oAoO8diBkge+yr22/yQ5DVATi3El0Rcy"
"""The log that ``kept/`` came from; made with seeded randomness, so it protects nothing."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    made = make(tmp_path_factory.mktemp("made"))
    with made.ws:
        yield made


@pytest.fixture(scope="module")
def files(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the verifier and evidence, and nothing else."""
    folder = tmp_path_factory.mktemp("bare")
    ws, acme = made.ws, made.ws.parts.tenant("acme")
    size = int(made.kept.split("\n")[1])
    (folder / "verify_affidavit.py").write_text(verifier_source(), encoding="utf-8")
    (folder / "key").write_text(ws.proofs.key() + "\n")
    (folder / "kept").write_text(made.kept)
    (folder / "growth").write_text(ws.proofs.consistency(size, 30).text())
    (folder / "event.tlog-proof").write_text(ws.proofs.prove(7).text())
    (folder / "header").write_bytes(ws.proofs.prove(7).header)
    ws.exports.export(acme, made.run, folder / "asker.json", "user:alice")
    ws.exports.export(acme, made.run, folder / "auditor.json", None, audit=True, since=[size])
    ws.exports.population(folder / "population.jsonl", START + DAY, START + 4 * DAY, None, None)
    newest = ws.proofs.checkpoint()
    (folder / "newest").write_text(newest.note)
    bundle = json.loads((folder / "auditor.json").read_bytes())
    (folder / "onward").write_text(ws.proofs.consistency(int(bundle["checkpoint"].split("\n")[1])).text())
    return folder


@pytest.fixture
def bare(files: Path, tmp_path: Path) -> Path:
    """A copy of ``files``."""
    shutil.copytree(files, tmp_path / "bare")
    return tmp_path / "bare"


def alone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The verifier in a process that can import nothing but the standard library."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "verify_affidavit.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env={"PYTHONWARNINGS": "error"},
    )


def told(folder: Path, status: int, *arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What ``main`` says as JSON; in this process, since that is quicker."""
    named = [str(folder / a) if (folder / a).exists() else a for a in arguments]
    assert main([*named, "--json"]) == status
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert said["ok"] is (status == 0)
    return said


def test_it_runs_alone_and_explains(bare: Path) -> None:
    done = alone(bare, "asker.json")
    assert (done.returncode, done.stderr) == (0, "")
    for words in (
        "This bundle holds.",
        "It says:",
        "question: How many days is walrus leave?",
        "answer: Walrus leave is 20 days a year",
        "Proved:",
        "NOT proved:",
        "Whose log this is",
        "did not rewrite history",
        "asker's view",
    ):
        assert words in done.stdout
    done = alone(
        bare,
        "auditor.json",
        "--key",
        "key",
        "--checkpoint",
        "kept",
        "--checkpoint",
        "newest",
        "--consistency",
        "onward",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("same history") == 2
    assert "Nothing was left out between" in done.stdout
    for words in ("Whose log this is", "did not rewrite history", "asker's view"):
        assert words not in done.stdout
    for name in ("population.jsonl", "event.tlog-proof", "growth", "newest"):
        done = alone(bare, name, "--key", "key")
        assert (done.returncode, done.stderr) == (0, ""), (name, done.stdout)
    assert alone(bare, "--help").returncode == 0
    assert alone(bare).returncode == 2


@pytest.mark.parametrize("name", ["bundle-1.json", "population-1.jsonl"])
def test_what_was_exported_once_holds_for_ever(name: str) -> None:
    """Another page, or another line about a run, needs another format: a reader keeps a bundle for years."""
    assert main([str(Path(__file__).with_name("kept") / name), "--key", KEPT_KEY]) == 0


def test_it_is_plain_old_python_without_us() -> None:
    tree = ast.parse(verifier_source(), feature_version=(3, 8))
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert modules <= set(sys.stdlib_module_names)
    newer = {"removeprefix", "removesuffix", "bit_count", "pairwise", "batched"}
    assert not newer & {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}


def _starts(python: str) -> bool:
    return subprocess.run([python, "-V"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10", "3.12", "3.13"])
def test_other_pythons(version: str, bare: Path) -> None:
    """Where they are installed, on the path or beside this one."""
    beside = [str(p) for p in Path(sys.base_prefix).parent.glob(f"{version}.*/bin/python")]
    found = [p for p in (*beside, shutil.which(f"python{version}")) if p is not None and _starts(p)]
    if not found:
        pytest.skip(f"no Python {version} here")
    python = found[0]
    (bare / "deep").write_bytes(b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}")
    for name, status in (
        ("asker.json", 0),
        ("auditor.json", 0),
        ("population.jsonl", 0),
        ("growth", 0),
        ("deep", 1),
    ):
        command = [python, "-I", "-S", "verify_affidavit.py", name, "--key", "key"]
        done = subprocess.run(command, cwd=bare, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (status, ""), done.stdout


def test_the_page(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told(bare, 0, "asker.json", "--page", str(bare / "page.html"), capsys=capsys)
    page = (bare / "page.html").read_text(encoding="utf-8")
    assert "Walrus leave is 20 days a year" in page
    assert "Leave &lt;b&gt;" in page
    assert "<b>" not in page
    assert "\u202e" not in page
    assert "<script" not in page
    told(bare, 2, "growth", "--key", "key", "--page", str(bare / "no.html"), capsys=capsys)
    told(bare, 2, "asker.json", "--page", str(bare / "no" / "where"), capsys=capsys)


def test_another_key_is_noticed(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Key("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    for name in ("asker.json", "population.jsonl"):
        assert "another key" in told(bare, 1, name, "--key", other.text, capsys=capsys)["error"]
    told(bare, 1, "event.tlog-proof", "--key", other.text, capsys=capsys)
    assert "--key" in told(bare, 2, "event.tlog-proof", capsys=capsys)["error"]
    told(bare, 2, "asker.json", "--key", "not a key", capsys=capsys)
    told(bare, 2, "asker.json", "--key", other.text.replace("c74f", "c74e"), capsys=capsys)


def test_outside_checkpoints(made: Made, bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "rewrite history" in " ".join(told(bare, 0, "asker.json", capsys=capsys)["not_proved"])
    linked = told(bare, 0, "auditor.json", "--checkpoint", "kept", capsys=capsys)
    assert any("same history" in line for line in linked["proved"])
    missing = told(bare, 1, "asker.json", "--checkpoint", "kept", capsys=capsys)["error"]
    assert "affidavit audit consistency" in missing
    sizes = [int(word) for word in missing.split("`")[1].split()[-2:]]
    (bare / "asked").write_text(made.ws.proofs.consistency(*sizes).text())
    told(bare, 0, "asker.json", "--checkpoint", "kept", "--consistency", "asked", capsys=capsys)
    # whoever holds the key can sign another history, but not one that the kept checkpoint is the beginning of
    size = sizes[0]
    forged = made.ws.parts.signer.sign(
        Signed(made.ws.parts.signer.origin, size, leaf_hash(b"another history"))
    )
    (bare / "forged").write_text(forged)
    for arguments in (
        ("auditor.json", "--checkpoint", "forged"),
        ("asker.json", "--checkpoint", "forged", "--consistency", "asked"),
        ("growth", "--key", "key", "--checkpoint", "forged"),
    ):
        assert "FORK" in told(bare, 1, *arguments, capsys=capsys)["error"]


def test_a_checkpoint_of_the_same_size_with_another_root_is_a_fork(
    made: Made, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = int((bare / "newest").read_text().split("\n")[1])
    forged = made.ws.parts.signer.sign(Signed(made.ws.parts.signer.origin, size, leaf_hash(b"x")))
    (bare / "forged").write_text(forged)
    said = told(bare, 1, "newest", "--key", "key", "--checkpoint", "forged", capsys=capsys)
    assert "FORK" in said["error"]


def test_proofs_of_events(bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (bare / "event.tlog-proof").read_text()
    (bare / "without").write_text(
        "\n".join(line for line in text.split("\n") if not line.startswith("extra "))
    )
    assert "--entry" in told(bare, 2, "without", "--key", "key", capsys=capsys)["error"]
    told(bare, 0, "without", "--key", "key", "--entry", "header", capsys=capsys)
    told(bare, 1, "without", "--key", "key", "--entry", "key", capsys=capsys)
    told(bare, 1, "event.tlog-proof", "--key", "key", "--entry", "key", capsys=capsys)
    for old, new in (
        ("index 7", "index 8"),
        ("index 7", "index 07"),
        ("index 7", "index 99999999999999999999"),
        ("index 7", "index -1"),
        ("index 7\n", ""),
        ("\n\n", "\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n"),
        ("\n\n", "\n"),
        ("@v1", "@v2"),
    ):
        assert old in text
        (bare / "wrong").write_text(text.replace(old, new, 1))
        told(bare, 1, "wrong", "--key", "key", capsys=capsys)


def test_the_examples_of_c2sp() -> None:
    vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
    signed = (
        "This is an example message.\n\n\u2014 example.com/foo "
        "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
    )
    assert Note(signed, "the example").signed_by(Key(vkey)) == 0
    with pytest.raises(Refused):
        Note(signed.replace("an example", "no example"), "the example").signed_by(Key(vkey))
    # a text with an empty line in it, signed by a key we do not know
    poem = (
        "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u00e8 subito sera.\n\n"
        "\u2014 quasimodo.example/salvatore "
        "NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
    )
    note = Note(poem, "the poem")
    assert note.text.endswith("subito sera.\n")
    assert note.signed_by(Key(vkey)) is None


def test_cosignatures(made: Made, bare: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """https://c2sp.org/tlog-cosignature: a witness signs the time and the checkpoint."""
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    name, raw = "witness.example", b"\x04" + private.public_key().public_bytes_raw()
    id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    vkey = f"{name}+{id.hex()}+{base64.b64encode(raw).decode()}"
    note = (bare / "newest").read_text()
    text = note.partition("\n\n")[0] + "\n"
    message = b"cosignature/v1\ntime 1790000000\n" + text.encode()
    packed = base64.b64encode(id + (1_790_000_000).to_bytes(8, "big") + private.sign(message)).decode()
    (bare / "cosigned").write_text(note + f"\u2014 {name} {packed}\n")
    said = told(bare, 0, "cosigned", "--key", "key", "--witness", vkey, capsys=capsys)
    assert any("witness.example at 2026-09-21T14:13:20Z" in line for line in said["proved"])
    told(bare, 1, "newest", "--key", "key", "--witness", vkey, capsys=capsys)
    false = base64.b64encode(id + (1_790_000_001).to_bytes(8, "big") + private.sign(message)).decode()
    (bare / "false").write_text(note + f"\u2014 {name} {false}\n")
    told(bare, 1, "false", "--key", "key", "--witness", vkey, capsys=capsys)


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "deep": b'{"a":' * 200_000 + b"1" + b"}" * 200_000,
    "list": b"[" * 200_000,
    "deep in a line": b'{"head":' + b"[" * 200_000 + b"\n",
    "huge number": b'{"format":' + b"9" * 3_000_000 + b"}",
    "float": b'{"format":1.5}',
    "nan": b'{"format":NaN}',
    "infinity": b'{"format":-Infinity}',
    "exponent": b'{"format":1e999}',
    "twice": b'{"format":"affidavit-bundle/1","format":"affidavit-bundle/1"}',
    "half a character": b'{"format":"\xed\xa0\x80"}',
    "lone surrogate": b'{"format":"\\ud800"}',
    "bytes": bytes(range(256)),
    "wrong types": b'{"checkpoint":1}',
    "array": b"[]",
    "no end of line": b'{"head":{}}',
    "only a head": b'{"head":{}}\n',
    "proof": b"c2sp.org/tlog-proof@v1\n",
    "old": b"old 99999999999999999999999999\n\n",
    "notes": b"a\n1\nb\n\n" + "\u2014 a AAAA\n".encode() * 10_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_without_a_crash(name: str, bare: Path) -> None:
    (bare / "hostile").write_bytes(HOSTILE[name])
    for arguments in (["--key", "key"], []):
        done = alone(bare, "hostile", *arguments)
        assert done.returncode in (1, 2), done.stdout
        assert done.stderr == ""
        assert len(done.stdout) < 2000


def test_files_that_are_none(bare: Path) -> None:
    for name in ("absent", ".", "/dev/null"):
        done = alone(bare, name, "--key", "key")
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr
    done = alone(bare, "asker.json", "--checkpoint", "/dev/zero")
    assert done.returncode == 2
    assert "larger than" in done.stdout


def test_hostile_bundles_that_the_key_holder_sealed(made: Made, files: Path) -> None:
    """Bodies and headers of any shape, proofs of absurd length: refused or shown, never a crash."""
    value = json.loads((files / "auditor.json").read_bytes())
    deep: Any = "x"
    for _ in range(400):
        deep = [deep]
    changes: list[dict[str, Any]] = [
        {"events": []},
        {"events": [5]},
        {"consistency": [{"size": 2**52, "root": value["consistency"][0]["root"], "proof": []}]},
        {"consistency": deep},
        {"release": "[" * 5000},
    ]
    for change in changes:
        wrong = {**value, **change}
        try:
            data = sealed(made, wrong)
        except (TypeError, KeyError):
            data = canonical(wrong)
        with pytest.raises(Refused):
            Bundle(data)
    long = [dict(e) for e in value["events"]]
    long[0]["proof"] = long[0]["proof"] * 40
    with pytest.raises(Refused):
        Bundle(sealed(made, {**value, "events": long}))


def test_what_a_terminal_is_shown_is_harmless(made: Made, bare: Path) -> None:
    evil = "evil\x1b[2J\u202e"
    (bare / evil).write_text("x")
    done = alone(bare, evil, "--key", "key")
    assert "\x1b" not in done.stdout
    assert "\u202e" not in done.stdout


def test_spellings() -> None:
    for wrong in (
        b'{"a": 1}',
        b'{"b":1,"a":1}',
        b'{"a":-0}',
        b'"\\u0041"',
        b' "a"',
        b'{"a":9007199254740992}',
    ):
        with pytest.raises(Refused):
            parse(wrong, "it")
    assert parse(b'{"a":9007199254740991}', "it") == {"a": 2**53 - 1}
    for text in ("QUJD\n", "QUI", "QUK=", "Q Q==", "\u00e9"):
        with pytest.raises(Refused):
            from_base64(text, None, "it")
    assert from_base64("QUI=", 2, "it") == b"AB"


def test_checkpoints(made: Made) -> None:
    key, signer = Key(made.ws.proofs.key()), made.ws.parts.signer
    assert Checkpoint(made.kept, key, "it").size == int(made.kept.split("\n")[1])
    for old, new in (
        ("\n\n", "\nmore\n\n"),
        (
            "\n",
            "\n0",
        ),
        ("affidavit/", "other/"),
        ("\u2014", "-"),
    ):
        with pytest.raises(Refused):
            Checkpoint(made.kept.replace(old, new, 1), key, "it")
    with pytest.raises(Refused):  # a seal is no checkpoint
        Checkpoint(signer.seal("affidavit-bundle/1", 64 * "1"), key, "it")
    for name in (
        "nobody.example",
        key.name,
    ):  # signed by a stranger alone, or under the log's name with another key's id
        unsigned = (
            made.kept.partition("\n\n")[0] + f"\n\n\u2014 {name} {base64.b64encode(bytes(68)).decode()}\n"
        )
        with pytest.raises(Refused, match="not signed by the log's key"):
            Checkpoint(unsigned, key, "it")
