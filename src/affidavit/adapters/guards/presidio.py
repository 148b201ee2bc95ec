"""Microsoft Presidio's analyzer with its own patterns and no language model: nothing is downloaded, names are not found.

``pip install "affidavit[presidio]"``. Its default engine fetches a spaCy model when it is made; this adapter always
brings its own
engine, and keeps ``tldextract``, by which it checks e-mail addresses, from fetching its list.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from affidavit.domain.errors import GuardError
from affidavit.domain.guards import Finding, Stage
from affidavit.ports.guard import GuardInfo

_INSTALL = 'pip install "affidavit[presidio]"'


class PresidioGuard:
    """Finds Presidio's entities (``EMAIL_ADDRESS``, ``US_SSN``, …) by pattern and checksum, with their places.
    ``entities`` limits it."""

    def __init__(self, name: str = "presidio", *, language: str = "en", entities: Sequence[str] = ()) -> None:
        try:
            # take two seconds to import
            import tldextract.tldextract as domains  # noqa: PLC0415
            from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # noqa: PLC0415
            from presidio_analyzer.nlp_engine import NoOpNlpEngine  # noqa: PLC0415
        except ImportError as error:
            raise GuardError(f"guard {name}: presidio-analyzer is not installed", _INSTALL) from error
        # would fetch a list of domains at the first address it sees; the list in its wheel is used instead
        domains.TLD_EXTRACTOR = domains.TLDExtract(cache_dir=None, suffix_list_urls=())
        self._name, self._language = name, language
        self._entities = list(entities) or None
        engine = NoOpNlpEngine([{"lang_code": language, "model_name": "none"}])
        engine.load()
        registry = RecognizerRegistry(supported_languages=[language])
        registry.load_predefined_recognizers(languages=[language], nlp_engine=engine)
        self._engine: Any = AnalyzerEngine(
            registry=registry, nlp_engine=engine, supported_languages=[language]
        )

    @property
    def info(self) -> GuardInfo:
        """As data."""
        return GuardInfo(
            self._name, f"presidio-analyzer {version('presidio-analyzer')}", local=True, places=True
        )

    def check(self, text: str, stage: Stage, timeout: float) -> Sequence[Finding]:
        """Every entity, as sure as Presidio is."""
        if self._engine is None:
            raise GuardError(f"guard {self._name} is closed", "open the workspace again")
        try:
            found = self._engine.analyze(text=text, language=self._language, entities=self._entities)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise GuardError(
                f"guard {self._name}: {type(error).__name__}", "check the language and the entities"
            ) from error
        made = (
            Finding(
                self._name, r.entity_type, r.start, r.end, "Presidio", f"{min(max(r.score, 0.0), 1.0):.2f}"
            )
            for r in found
        )
        return sorted(made, key=lambda f: (f.start, f.end, f.kind))

    def close(self) -> None:
        """Let go of the engine."""
        self._engine = None
