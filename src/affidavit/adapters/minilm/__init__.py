"""all-MiniLM-L6-v2 on onnxruntime: the default embedder. ``install`` fetches its weights once, ``MiniLM`` uses them."""

from affidavit.adapters.minilm.runtime import MiniLM
from affidavit.adapters.minilm.weights import default_location, install, installed, verify

__all__ = ["MiniLM", "default_location", "install", "installed", "verify"]
