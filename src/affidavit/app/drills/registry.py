"""All drills. A new one is a file beside this one and a line here."""

from __future__ import annotations

from affidavit.app.drills.approval_expired import ApprovalExpired
from affidavit.app.drills.clock_skew import ClockSkew
from affidavit.app.drills.delete import Delete
from affidavit.app.drills.disk_full import DiskFull
from affidavit.app.drills.embedder_outage import EmbedderOutage
from affidavit.app.drills.index_corruption import IndexCorruption
from affidavit.app.drills.kill import Kill
from affidavit.app.drills.model_outage import ModelOutage
from affidavit.app.drills.poisoned_document import PoisonedDocument
from affidavit.app.drills.promise import Drill
from affidavit.app.drills.retrieval_outage import RetrievalOutage
from affidavit.app.drills.revoke import Revoke
from affidavit.app.drills.revoked_waiting import RevokedWaiting
from affidavit.app.drills.slow_model import SlowModel
from affidavit.app.drills.spent_budget import SpentBudget
from affidavit.app.drills.stale_source import StaleSource
from affidavit.app.drills.tool_failure import ToolFailure
from affidavit.app.drills.wrong_schema import WrongSchema

DRILLS: dict[str, Drill] = {
    drill.name: drill
    for drill in (
        StaleSource(),
        Revoke(),
        Delete(),
        RetrievalOutage(),
        IndexCorruption(),
        EmbedderOutage(),
        ModelOutage(),
        SlowModel(),
        WrongSchema(),
        SpentBudget(),
        ToolFailure(),
        PoisonedDocument(),
        ApprovalExpired(),
        RevokedWaiting(),
        ClockSkew(),
        DiskFull(),
        Kill(),
    )
}
