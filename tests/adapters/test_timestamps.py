"""RFC 3161 timestamps against a real authority: ``openssl ts`` behind a loopback server."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import affidavit
from affidavit.adapters import timestamps
from affidavit.adapters.timestamps import check_timestamp, read_authorities, timestamp
from affidavit.app.compare import Comparer
from affidavit.domain.errors import SinkError, UsageError

pytest.importorskip("rfc3161_client", reason="the extra `timestamps` is not installed")
if shutil.which("openssl") is None:
    pytest.skip("there is no openssl program to be the authority", allow_module_level=True)

pytestmark = [pytest.mark.network, pytest.mark.enable_socket]

CONFIG = """
[req]
distinguished_name = dn
prompt = no
[dn]
CN = test
[ca]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[ts]
default_policy = 1.2.3.4
digests = sha256
serial = serial
signer_digest = sha256
ess_cert_id_alg = sha256
ess_cert_id_chain = no
"""


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path) -> Path:
    """A root and a timestamping certificate below it; the root's PEM file."""
    folder.mkdir()
    (folder / "config").write_text(CONFIG)
    new = ("-newkey", "rsa:2048", "-nodes", "-config", "config")
    openssl(
        folder,
        "req",
        "-x509",
        *new,
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-extensions",
        "ca",
        "-subj",
        "/CN=root",
    )
    openssl(folder, "req", *new, "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=tsa")
    openssl(
        folder, "x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "tsa.pem", "-extfile", "config", "-extensions", "tsa",
    )  # fmt: skip
    return folder / "ca.pem"


class _Authority(BaseHTTPRequestHandler):
    """Answers each query with what ``openssl ts`` says; its server may tamper."""

    def do_POST(self) -> None:
        server: Any = self.server
        (server.folder / "q").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        openssl(
            server.folder, "ts", "-reply", "-queryfile", "q", "-out", "r", "-signer", "tsa.pem", "-inkey", "tsa.key",
            "-config", "config", "-section", "ts",
        )  # fmt: skip
        body = server.tamper((server.folder / "r").read_bytes())
        self.send_response(server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_authority(tmp_path_factory.mktemp("authority") / "a")


@pytest.fixture
def authority(root: Path) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Authority)
    server.folder, server.status, server.tamper = root.parent, 200, lambda body: body
    server.url = f"http://127.0.0.1:{server.server_address[1]}/tsr"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_token_is_good_for_its_bytes_and_its_root_only(authority: Any, root: Path, tmp_path: Path) -> None:
    roots = read_authorities(root.read_bytes())
    token, at = timestamp(authority.url, b"checkpoint", roots)
    assert check_timestamp("tsa", token, b"checkpoint", roots) == at
    with pytest.raises(SinkError, match="does not verify"):
        check_timestamp("tsa", token, b"another", roots)
    other = read_authorities(make_authority(tmp_path / "other").read_bytes())
    with pytest.raises(SinkError, match="does not verify"):
        check_timestamp("tsa", token, b"checkpoint", other)
    for at_byte in range(40, len(token), 97):
        broken = token[:at_byte] + bytes([token[at_byte] ^ 1]) + token[at_byte + 1 :]
        try:
            assert check_timestamp("tsa", broken, b"checkpoint", roots) == at  # an unsigned part
        except SinkError:
            continue
    for junk in (b"", b"junk", token[:50]):
        with pytest.raises(SinkError):
            check_timestamp("tsa", junk, b"checkpoint", roots)
    # openssl, too, takes what is kept
    (tmp_path / "data").write_bytes(b"checkpoint")
    (tmp_path / "t.tsr").write_bytes(token)
    openssl(tmp_path, "ts", "-verify", "-data", "data", "-in", "t.tsr", "-CAfile", str(root))


def test_an_answer_to_another_question_is_refused(authority: Any, root: Path) -> None:
    """The nonce: an old token over the same bytes would date them too early."""
    roots = read_authorities(root.read_bytes())
    old, _ = timestamp(authority.url, b"checkpoint", roots)
    authority.tamper = lambda body: old
    with pytest.raises(SinkError, match="does not verify"):
        timestamp(authority.url, b"checkpoint", roots)
    authority.status = 500
    with pytest.raises(SinkError, match="HTTP 500"):
        timestamp(authority.url, b"checkpoint", roots)


def test_a_checkpoint_is_dated_kept_and_compared(
    workspace: affidavit.Workspace, authority: Any, root: Path
) -> None:
    kept = workspace.outside.timestamp(authority.url, root)
    assert kept.size == workspace.parts.log.head() + 1

    def verdict() -> str:
        comparer = Comparer(workspace.parts, authorities=root)
        (finding,) = comparer.compare(comparer.everything(workspace.outside))
        return finding.problem

    assert verdict() == ""
    database = workspace.parts.database
    for change, told in (
        ("UPDATE attestations SET at = at - 1000000", "another time"),
        ("UPDATE attestations SET token = x'00'", "does not verify"),
        ("UPDATE attestations SET token = NULL", "does not verify"),
        ("UPDATE attestations SET note = replace(note, 'a', 'b')", "does not verify"),
    ):
        with database.write():
            assert database.changed(change) == 1
            assert told in verdict()
            database.run("ROLLBACK")
            database.run("BEGIN IMMEDIATE")
    assert verdict() == ""


def test_without_a_root_or_the_library_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no certificate"):
        read_authorities(b"")
    monkeypatch.setitem(__import__("sys").modules, "rfc3161_client", None)
    with pytest.raises(UsageError, match="rfc3161-client"):
        timestamps.timestamp("http://localhost/", b"x", [])
