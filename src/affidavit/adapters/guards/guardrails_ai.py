"""Guardrails AI: validators of its hub or of one's own. ``pip install "affidavit[guardrails-ai]"``.

Version 0.10.1 was compromised (May 2026): the extra asks for a later one, and this module refuses that one by its number
before it
is imported. Metrics are switched off, also for validators that were made elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from affidavit.adapters.guards.quiet import silence
from affidavit.domain.errors import GuardError
from affidavit.domain.guards import Finding, Stage
from affidavit.ports.guard import GuardInfo

_INSTALL = 'pip install "affidavit[guardrails-ai]"'
_COMPROMISED = frozenset(("0.10.1",))


def prepare(name: str = "guardrails-ai") -> None:
    """Call it before importing a validator: silent, and not a compromised release. Raises GuardError."""
    silence()
    try:
        found = version("guardrails-ai")
    except PackageNotFoundError as error:
        raise GuardError(f"guard {name}: guardrails-ai is not installed", _INSTALL) from error
    if found in _COMPROMISED:
        raise GuardError(
            f"guard {name}: guardrails-ai {found} is a compromised release", f"remove it at once; {_INSTALL}"
        )


class GuardrailsGuard:
    """Runs ``validators`` (made with ``on_fail="noop"``) over a text. ``local`` unless one of them asks a server."""

    def __init__(self, validators: Sequence[Any], name: str = "guardrails-ai", *, local: bool = True) -> None:
        prepare(name)
        from guardrails import Guard  # noqa: PLC0415 - an extra that takes seconds to import

        self._name, self._local = name, local
        self._guard: Any = Guard()
        self._guard.configure(allow_metrics_collection=False)
        for validator in validators:
            self._guard.use(validator)

    @property
    def info(self) -> GuardInfo:
        """As data."""
        return GuardInfo(self._name, f"guardrails-ai {version('guardrails-ai')}", self._local, places=True)

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        """One finding for each validator that fails, or for each place it names; ``timeout`` is kept by whoever calls."""
        if self._guard is None:
            raise GuardError(f"guard {self._name} is closed", "open the workspace again")
        try:
            outcome = self._guard.validate(text)
        except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
            raise GuardError(f"guard {self._name}: {type(error).__name__}", "check the validators") from error
        found = [f for s in outcome.validation_summaries or () for f in self._failed(s, len(text))]
        if not found and not outcome.validation_passed:
            found = [Finding(self._name, "failed", 0, 0, "a validator failed")]
        return found

    def _failed(self, summary: Any, size: int) -> list[Finding]:
        if str(getattr(summary.validator_status, "value", summary.validator_status)) != "fail":
            return []
        kind = str(summary.validator_name)
        spans = [(s.start, s.end) for s in summary.error_spans or () if 0 <= s.start < s.end <= size]
        return [
            Finding(self._name, kind, start, end, "a validator failed") for start, end in spans or [(0, 0)]
        ]

    def close(self) -> None:
        """Let go of the validators."""
        self._guard = None
