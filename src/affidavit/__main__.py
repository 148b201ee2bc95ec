"""``python -m affidavit`` is the ``affidavit`` command."""

from affidavit.entrypoints.cli import main

main()
