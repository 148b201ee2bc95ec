"""A directory tree of documents, with its access rules in ``access.toml`` files."""

from affidavit.adapters.folder.connector import FolderConnector

__all__ = ["FolderConnector"]
