"""The table itself."""

from __future__ import annotations

from affidavit.app.operations.agents import AGENTS
from affidavit.app.operations.controls import CONTROLS
from affidavit.app.operations.deciding import DECIDING
from affidavit.app.operations.documents import DOCUMENTS
from affidavit.app.operations.drills import DRILLS
from affidavit.app.operations.feedback import FEEDBACK, INCIDENTS
from affidavit.app.operations.figures import FIGURES
from affidavit.app.operations.follow import FOLLOW
from affidavit.app.operations.history import HISTORY
from affidavit.app.operations.keys import KEYS
from affidavit.app.operations.levels import LEVELS
from affidavit.app.operations.limits import LIMITS
from affidavit.app.operations.log import LOG
from affidavit.app.operations.looks import LOOKS
from affidavit.app.operations.money import MONEY
from affidavit.app.operations.operation import Table
from affidavit.app.operations.packs import PACKS
from affidavit.app.operations.people import PEOPLE
from affidavit.app.operations.person import PERSON
from affidavit.app.operations.proposals import PROPOSALS, PROPOSING
from affidavit.app.operations.questions import QUESTIONS
from affidavit.app.operations.runs import RUNS
from affidavit.app.operations.sources import SOURCES
from affidavit.app.operations.status import STATUS
from affidavit.app.operations.texts import TEXTS
from affidavit.app.operations.tools import TOOLS
from affidavit.app.operations.works import WORKS

TABLE = Table(
    QUESTIONS,
    DOCUMENTS,
    RUNS,
    FOLLOW,
    FEEDBACK,
    INCIDENTS,
    PACKS,
    HISTORY,
    TOOLS,
    AGENTS,
    TEXTS,
    SOURCES,
    WORKS,
    PERSON,
    PEOPLE,
    KEYS,
    PROPOSALS,
    DECIDING,
    CONTROLS,
    MONEY,
    DRILLS,
    FIGURES,
    LEVELS,
    LIMITS,
    STATUS,
    LOG,
    LOOKS,
)
PROPOSING.table = TABLE
