"""The table itself."""

from __future__ import annotations

from affidavit.app.operations.agents import AGENTS
from affidavit.app.operations.operation import Table
from affidavit.app.operations.person import PERSON
from affidavit.app.operations.questions import QUESTIONS
from affidavit.app.operations.runs import RUNS
from affidavit.app.operations.texts import TEXTS

TABLE = Table(QUESTIONS, RUNS, PERSON, TEXTS, AGENTS)
