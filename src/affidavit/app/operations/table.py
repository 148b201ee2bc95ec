"""The table itself."""

from __future__ import annotations

from affidavit.app.operations.operation import Table
from affidavit.app.operations.person import PERSON
from affidavit.app.operations.proposals import PROPOSALS, PROPOSING
from affidavit.app.operations.questions import QUESTIONS
from affidavit.app.operations.runs import RUNS

TABLE = Table(QUESTIONS, RUNS, PERSON, PROPOSALS)
PROPOSING.table = TABLE
