"""What was verified, remembered outside the database: the next check can start there, and an older copy is recognised.

The memory is a small file, by default beside the log's key, or where the operator says: the further away from the database,
the more it is worth. It is authenticated with a secret derived from the log's key: whoever holds only the database cannot
write one.
"""

from __future__ import annotations

import hmac
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from affidavit.app.layout import check_layout
from affidavit.app.verify import Verifier
from affidavit.app.wiring import KEY, Parts
from affidavit.domain.canonical import canonical
from affidavit.domain.errors import LogDamagedError, UsageError
from affidavit.events.merkle import Frontier
from affidavit.events.verify import LogVerifier, frontier_at

STATE = KEY.parent / "verified.json"
_FORMAT = 1
_LARGEST = 100_000


class VerifiedDesk:
    """Verifies, remembers what was verified, and verifies what came since."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def full(
        self, state: Path | None = None, progress: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        """Everything, and that what is remembered is the beginning of this log; then remembers this.

        ``remembered`` of the report is the file, or None where it cannot be written. Raises LogDamagedError.
        """
        path = self._place(state)
        with self._parts.database.read():
            if path.exists():
                self._continues(self._read(path))
            report = Verifier(self._parts, progress).run()
        return {**report, "remembered": self.remember(report, path)}

    def since(
        self, state: Path | None = None, progress: Callable[[int], None] | None = None
    ) -> dict[str, Any]:
        """Every event that came since the last check, on the tree that was checked then. Raises LogDamagedError."""
        path = self._place(state)
        with self._parts.database.read():
            said = self._read(path)
            after = self._continues(said)
            verifier = self._parts.signer.verifier()
            check_layout(self._parts)
            report = LogVerifier(self._parts.database, verifier, progress, after=after).run()
        found = {
            "events": report.events,
            "since": said["size"],
            "new_events": report.events - said["size"],
            "bodies": report.bodies,
            "erased": report.erased,
            "checkpoints": report.checkpoints,
            "root": report.root,
            "frontier": report.frontier,
            "public_key": verifier,
        }
        return {**found, "remembered": self.remember(found, path)}

    def remember(self, report: dict[str, Any], path: Path) -> str | None:
        """Write what ``report`` verified into ``path``, whole or not at all; the path, or None where that is not allowed."""
        said = {
            "format": _FORMAT,
            "origin": self._parts.signer.origin,
            "size": report["events"],
            "root": report["root"],
            "frontier": report["frontier"],
            "at": self._parts.clock.now(),
        }
        said["mac"] = self._mac(said)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                file.write(json.dumps(said) + "\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            return None  # an auditor may look at a workspace that they cannot write
        return str(path)

    def _place(self, state: Path | None) -> Path:
        return self._parts.folder / STATE if state is None else state

    def _mac(self, said: dict[str, Any]) -> str:
        plain = {name: value for name, value in said.items() if name != "mac"}
        return hmac.digest(self._parts.signer.derived("verified"), canonical(plain), "sha256").hex()

    def _read(self, path: Path) -> dict[str, Any]:
        hint = "run `affidavit audit verify` once without --since-last; it remembers what it verified"
        try:
            with path.open("rb") as file:
                said = json.loads(file.read(_LARGEST))
            genuine = hmac.compare_digest(self._mac(said), said["mac"])
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}", hint) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise LogDamagedError(f"{path} does not say what was verified", f"delete it; {hint}") from error
        if not genuine or said["format"] != _FORMAT:
            raise LogDamagedError(
                f"{path} was not written with this log's key", f"find out who changed it, delete it; {hint}"
            )
        return dict(said)

    def _continues(self, said: dict[str, Any]) -> Frontier:
        """The frontier that was verified, if this log begins with it."""
        events = self._parts.log.head() + 1
        wrong = "this is an older copy, or another history; keep both, and find out who put it here"
        if said["size"] > events:
            raise LogDamagedError(
                f"{said['size']} events were verified once, and now there are {events}: the log was cut off or set back",
                wrong,
            )
        if frontier_at(self._parts.database, said["size"]).as_text() != said["frontier"]:
            raise LogDamagedError(f"the first {said['size']} events are not those that were verified", wrong)
        return Frontier.from_text(said["frontier"])
