"""affidavit: answers over an organisation's documents, with proof of what was read, under whose permission, and why."""

from affidavit.app.workspace import Workspace, init, open  # noqa: A004  # like gzip.open: used as affidavit.open

__all__ = ["Workspace", "init", "open"]
