"""Settings. The only place that reads the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from affidavit.adapters.minilm.runtime import MiniLM
from affidavit.adapters.minilm.weights import default_location, installed
from affidavit.adapters.openai_embeddings import OpenAIEmbeddings
from affidavit.app.embedding_costs import MeteredEmbedder, Tariff
from affidavit.domain.errors import UsageError
from affidavit.ports.embedder import Embedder

WORKSPACE = "AFFIDAVIT_WORKSPACE"
MODELS = "AFFIDAVIT_MODELS"
EMBEDDINGS_KEY = "AFFIDAVIT_EMBEDDINGS_API_KEY"
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""By which prometheus-client knows that several processes count together."""
AS = "AFFIDAVIT_AS"
TENANT = "AFFIDAVIT_TENANT"

EMBEDDER_KINDS = ("minilm", "openai", "none")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)


@dataclass(frozen=True)
class EmbedderSpec:
    """Which embedder, as kept in the workspace: never a key, only what makes vectors what they are.

    ``dimensions`` is what an endpoint is asked for (0: its own choice), ``width`` what it was found to give.
    """

    kind: str
    base_url: str = ""
    model: str = ""
    dimensions: int = 0
    precision: str = "int8"
    width: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EmbedderSpec:
        return cls(**value)


def environment(name: str) -> str:
    """An environment variable, "" when unset."""
    return os.environ.get(name, "")


def tell_children(name: str, value: str) -> None:
    """Set an environment variable for the processes that are started from now on."""
    os.environ[name] = value


def check_variable(name: str, what: str) -> None:
    """That ``name`` can be a variable's. Raises UsageError, which does not show what may be a key in the wrong place."""
    if not _VARIABLE.fullmatch(name):
        raise UsageError(
            f"{what} is not the name of an environment variable",
            "name the variable that holds the key, not the key itself",
        )


def git_environment() -> dict[str, str]:
    """The environment for the git program: all but ``GIT_*``, which would send it to another repository or editor."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def model_location() -> Path:
    """Where the MiniLM files are: ``$AFFIDAVIT_MODELS/all-MiniLM-L6-v2``, or below the Python environment."""
    base = environment(MODELS)
    return Path(base) / "all-MiniLM-L6-v2" if base else default_location()


def default_embedder() -> EmbedderSpec:
    """MiniLM where its weights are installed, else none: keyword-only."""
    return EmbedderSpec("minilm" if installed(model_location()) else "none")


def make_embedder(spec: EmbedderSpec) -> Embedder | None:
    """The embedder that ``spec`` names; nothing is loaded yet. Raises UsageError for an unknown kind."""
    match spec.kind:
        case "minilm":
            return MiniLM(
                model_location(), precision="float32" if spec.precision == "float32" else "int8", threads=0
            )
        case "openai":
            key = environment(EMBEDDINGS_KEY)
            asked, width = spec.dimensions or None, spec.width or None
            return OpenAIEmbeddings(spec.base_url, spec.model, key, asked, width=width)
        case "none":
            return None
    raise UsageError(f"there is no embedder {spec.kind!r}", f"one of: {', '.join(EMBEDDER_KINDS)}")


def weights_missing(spec: EmbedderSpec) -> bool:
    """Whether ``spec`` needs the MiniLM weights and they are not on this machine."""
    return spec.kind == "minilm" and not installed(model_location())


def close_embedder(embedder: Embedder | None) -> None:
    """Let go of an endpoint's connections."""
    if isinstance(embedder, OpenAIEmbeddings | MeteredEmbedder):
        embedder.close()


def metered(embedder: Embedder | None, spec: EmbedderSpec, tariff: Tariff | None) -> Embedder | None:
    """``embedder`` with its charges by ``tariff``, if it is an endpoint."""
    if tariff is None or not isinstance(embedder, OpenAIEmbeddings):
        return embedder
    return MeteredEmbedder(embedder, spec.kind, spec.model, tariff)
