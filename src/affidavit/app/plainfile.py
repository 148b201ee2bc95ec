"""Opening files that others handed over: plain files only, so that no pipe is waited for and no device read for ever."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from affidavit.domain.errors import UsageError

_LARGEST_RELEASE = 1_000_000


def open_plain(path: Path, *, follow: bool = True) -> BinaryIO:
    """``path`` for reading. Without ``follow`` it may not be a link. Raises OSError, also for what is not a plain file."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    handle = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is not a plain file", str(path))
    return os.fdopen(handle, "rb")


def read_release(path: Path) -> dict[str, Any]:
    """The content of a release in a file; whether it is one is for ``domain.release.load`` to say. Raises UsageError."""
    hint = "begin with: affidavit release show > release.json"
    try:
        with open_plain(path) as file:
            data = file.read(_LARGEST_RELEASE + 1)
        if len(data) > _LARGEST_RELEASE:
            raise UsageError(
                f"{path} is larger than {_LARGEST_RELEASE} bytes", "a release is a page of settings"
            )
        value = json.loads(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a release: {error}", hint) from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} is not a release", hint)
    return value
