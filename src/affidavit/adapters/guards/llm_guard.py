"""LLM Guard: its scanners, made by the operator. It needs PyTorch (1.4 GB) and is no extra of ours: ``pip install llm-guard``.

Most of its scanners load models from files; give them local ones, for downloads are switched off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from affidavit.adapters.guards.quiet import silence
from affidavit.domain.errors import GuardError
from affidavit.domain.guards import Finding, Stage
from affidavit.ports.guard import GuardInfo


class LlmGuard:
    """Runs ``inputs`` (scanners of ``llm_guard.input_scanners``) over questions and passages, ``outputs`` over answers.
    Their classes'
    names are the kinds. What they would put in place of the text is not used."""

    def __init__(
        self, inputs: Sequence[Any], outputs: Sequence[Any] = (), name: str = "llm-guard", version: str = ""
    ) -> None:
        silence()
        self._name, self._version = name, version
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._closed = False

    @property
    def info(self) -> GuardInfo:
        """As data."""
        return GuardInfo(self._name, f"llm-guard {self._version}".strip(), local=True, places=False)

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        """One finding for each scanner that says the text is not valid, as sure as its risk; ``timeout`` is kept by
        whoever calls."""
        if self._closed:
            raise GuardError(f"guard {self._name} is closed", "open the workspace again")
        answer = stage is Stage.ANSWER
        found = []
        for scanner in self._outputs if answer else self._inputs:
            try:
                _, valid, risk = scanner.scan("", text) if answer else scanner.scan(text)
            except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
                raise GuardError(
                    f"guard {self._name}: {type(error).__name__}", "check the scanners"
                ) from error
            if not valid:
                sure = f"{min(max(float(risk), 0.5), 1.0):.2f}"
                found.append(Finding(self._name, type(scanner).__name__, 0, 0, "a scanner objects", sure))
        return found

    def close(self) -> None:
        """No text is judged any more."""
        self._closed = True
