"""NVIDIA NeMo Guardrails: input and output rails of a configuration folder. ``pip install "affidavit[nemo]"``.

Rails that ask a model ask the one the folder names, wherever that is: such a guard is not local.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from affidavit.adapters.guards.quiet import silence
from affidavit.domain.errors import GuardError
from affidavit.domain.guards import Finding, Stage
from affidavit.ports.guard import GuardInfo

_INSTALL = 'pip install "affidavit[nemo]"'


class NemoGuard:
    """Runs the input rails over questions and passages, the output rails over answers. ``blocked`` and ``modified`` are
    findings about the
    whole text: what a rail would put in its place is not used, because only the release's policy changes an answer."""

    def __init__(self, folder: Path, name: str = "nemo", *, local: bool = False) -> None:
        silence()
        try:
            # an extra that takes seconds to import
            from nemoguardrails import LLMRails, RailsConfig  # noqa: PLC0415
            from nemoguardrails.rails.llm.options import RailType  # noqa: PLC0415
        except ImportError as error:
            raise GuardError(f"guard {name}: nemoguardrails is not installed", _INSTALL) from error
        self._name, self._local = name, local
        self._types = {
            Stage.QUESTION: RailType.INPUT,
            Stage.PASSAGE: RailType.INPUT,
            Stage.ANSWER: RailType.OUTPUT,
        }
        try:
            self._rails: Any = LLMRails(RailsConfig.from_path(str(folder)))
        except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
            raise GuardError(
                f"guard {name}: {folder} cannot be used: {error}", "check its config.yml"
            ) from error

    @property
    def info(self) -> GuardInfo:
        """As data."""
        return GuardInfo(self._name, f"nemoguardrails {version('nemoguardrails')}", self._local, places=False)

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        """One finding, ``blocked`` or ``modified``, with the name of the rail. ``timeout`` is kept by whoever calls."""
        if self._rails is None:
            raise GuardError(f"guard {self._name} is closed", "open the workspace again")
        role = "assistant" if stage is Stage.ANSWER else "user"
        try:
            result = self._rails.check([{"role": role, "content": text}], rail_types=[self._types[stage]])
        except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
            raise GuardError(
                f"guard {self._name}: {type(error).__name__}", "check its config.yml and its model"
            ) from error
        status = str(result.status.value)
        if status == "passed" and result.content == text:
            return []
        kind = "blocked" if status == "blocked" else "modified"
        return [Finding(self._name, kind, 0, 0, "a rail of the configuration")]

    def close(self) -> None:
        """Let go of the rails."""
        self._rails = None
