"""The table itself."""

from __future__ import annotations

from affidavit.app.operations.deciding import DECIDING
from affidavit.app.operations.figures import FIGURES
from affidavit.app.operations.looks import LOOKS
from affidavit.app.operations.operation import Table
from affidavit.app.operations.panel import PANEL
from affidavit.app.operations.person import PERSON
from affidavit.app.operations.questions import QUESTIONS
from affidavit.app.operations.runs import RUNS

TABLE = Table(QUESTIONS, RUNS, PERSON, FIGURES, LOOKS, DECIDING, PANEL)
