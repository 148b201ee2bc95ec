"""The embedded index: an exact search engine in numpy arrays and plain files. See ``EmbeddedIndex``."""

from affidavit.adapters.embedded.engine import EmbeddedIndex as EmbeddedIndex
