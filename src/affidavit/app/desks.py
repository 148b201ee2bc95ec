"""The desks of a workspace, each made when somebody first comes to it, so that few commands wait for imports of the others."""

from __future__ import annotations

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from affidavit.app.people import PeopleDesk
from affidavit.app.runs import RunDesk
from affidavit.app.sources import SourceDesk
from affidavit.app.wiring import Parts

if TYPE_CHECKING:
    from affidavit.app.acting import ActDesk
    from affidavit.app.binding import BindingDesk
    from affidavit.app.budgets import BudgetDesk
    from affidavit.app.controls import ControlDesk
    from affidavit.app.credentials import CredentialDesk
    from affidavit.app.documents import DocumentDesk
    from affidavit.app.drillbook import DrillBook
    from affidavit.app.drills.desk import DrillDesk
    from affidavit.app.erasure import EraseDesk
    from affidavit.app.evaluation import EvalDesk
    from affidavit.app.exports import ExportDesk
    from affidavit.app.figures import FiguresDesk
    from affidavit.app.follow import FollowDesk
    from affidavit.app.history import HistoryDesk
    from affidavit.app.imports import ImportDesk
    from affidavit.app.incidentdesk import IncidentDesk
    from affidavit.app.incidents import FeedbackDesk
    from affidavit.app.keeping import KeepDesk
    from affidavit.app.levels import LevelDesk
    from affidavit.app.looking import LookDesk
    from affidavit.app.money import MoneyDesk
    from affidavit.app.outside import OutsideDesk
    from affidavit.app.policies import PolicyDesk
    from affidavit.app.proofs import ProofDesk
    from affidavit.app.proposals import ProposalDesk
    from affidavit.app.quality import QualityDesk
    from affidavit.app.replaydesk import ReplayDesk
    from affidavit.app.sourcebook import SourceBook
    from affidavit.app.tools import ToolDesk
    from affidavit.app.verified import VerifiedDesk
    from affidavit.app.why import WhyDesk
    from affidavit.app.works import WorkDesk


def later(module: str, name: str) -> Any:
    """A class of ours that few commands need: imported when one does, so that the others do not wait for it."""
    return getattr(import_module(f"affidavit.app.{module}"), name)


class Desks:
    """Who does what in a workspace. Safe to share between threads."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.people = PeopleDesk(parts)
        self.sources = SourceDesk(parts)
        self.runs = RunDesk(parts)

    @cached_property
    def replays(self) -> ReplayDesk:
        """Runs once more: identical or not, and with something changed."""
        return later("replaydesk", "ReplayDesk")(self.parts, self.runs, self.parts.position)  # type: ignore[no-any-return]

    @cached_property
    def proofs(self) -> ProofDesk:
        """Proofs of positions and of growth."""
        return later("proofs", "ProofDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def exports(self) -> ExportDesk:
        """Evidence for others, in files."""
        return later("exports", "ExportDesk")(self.parts, self.proofs)  # type: ignore[no-any-return]

    @cached_property
    def verified(self) -> VerifiedDesk:
        """What was verified before, so that only the rest must be."""
        return later("verified", "VerifiedDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def erasing(self) -> EraseDesk:
        """Taking contents away, on record."""
        return later("erasure", "EraseDesk")(self.parts, self.sources)  # type: ignore[no-any-return]

    @cached_property
    def keeping(self) -> KeepDesk:
        """How long contents are kept, and what must be."""
        return later("keeping", "KeepDesk")(self.parts, self.erasing)  # type: ignore[no-any-return]

    @cached_property
    def feedback(self) -> FeedbackDesk:
        """What people say about answers."""
        return later("incidents", "FeedbackDesk")(self.parts, self.runs)  # type: ignore[no-any-return]

    @cached_property
    def incidents(self) -> IncidentDesk:
        """What went wrong, with the evidence packed."""
        desk: IncidentDesk = later("incidentdesk", "IncidentDesk")(
            self.parts, self.feedback, self.replays, self.exports, self.keeping
        )
        return desk

    @cached_property
    def drills(self) -> DrillDesk:
        """What happens when something breaks, tried on a copy."""
        return later("drills.desk", "DrillDesk")(self.parts.folder, later("workspace", "open_with"))  # type: ignore[no-any-return]

    @cached_property
    def drill_book(self) -> DrillBook:
        """Drills that run in the background, with their reports on record."""
        return later("drillbook", "DrillBook")(self.parts, self.drills)  # type: ignore[no-any-return]

    @cached_property
    def evaluation(self) -> EvalDesk:
        """How good retrieval is, on judged questions."""
        return later("evaluation", "EvalDesk")(self)  # type: ignore[no-any-return]

    @cached_property
    def outside(self) -> OutsideDesk:
        """Places outside this machine that checkpoints are sent to."""
        return later("outside", "OutsideDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def followers(self) -> FollowDesk:
        """Whoever the log is handed over to."""
        return later("follow", "FollowDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def money(self) -> MoneyDesk:
        """What models cost."""
        return later("money", "MoneyDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def imports(self) -> ImportDesk:
        """Tools of others that were accepted."""
        return later("imports", "ImportDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def tools(self) -> ToolDesk:
        """What the system can do, and what it did."""
        policy, controls = self.policy, self.controls
        desk: ToolDesk = later("tools", "ToolDesk")(self.parts, policy, policy.standing, controls.values)
        policy.contracts = desk.contracts
        return desk

    @cached_property
    def acting(self) -> ActDesk:
        """Questions that may be acted upon."""
        return later("acting", "ActDesk")(self.parts, self.tools)  # type: ignore[no-any-return]

    @cached_property
    def policy(self) -> PolicyDesk:
        """What may be done with tools."""
        return later("policies", "PolicyDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def controls(self) -> ControlDesk:
        """Modes, kill switches and where secrets are."""
        return later("controls", "ControlDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def quality(self) -> QualityDesk:
        """How good a source is, and whether it agrees with what is held of it."""
        return later("quality", "QualityDesk")(self.parts, self.sources)  # type: ignore[no-any-return]

    @cached_property
    def levels(self) -> LevelDesk:
        """What is promised, and how it is kept."""
        return later("levels", "LevelDesk")(self.parts, self.sources)  # type: ignore[no-any-return]

    @cached_property
    def bindings(self) -> BindingDesk:
        """Which account of the sign-in provider's somebody is."""
        return later("binding", "BindingDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def credentials(self) -> CredentialDesk:
        """What proves who asks over the network."""
        return later("credentials", "CredentialDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def documents(self) -> DocumentDesk:
        """Documents for whoever may read them."""
        return later("documents", "DocumentDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def works(self) -> WorkDesk:
        """Work that goes on behind requests."""
        return later("works", "WorkDesk")(self.parts, self.sources)  # type: ignore[no-any-return]

    @cached_property
    def source_book(self) -> SourceBook:
        """Sources for whoever looks after them."""
        return later("sourcebook", "SourceBook")(self.parts, self.sources)  # type: ignore[no-any-return]

    @cached_property
    def history(self) -> HistoryDesk:
        """What people decided and changed lately."""
        return later("history", "HistoryDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def why(self) -> WhyDesk:
        """Why somebody may read a document, or may not."""
        return later("why", "WhyDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def looking(self) -> LookDesk:
        """Seeing the workspace as another person sees it, on record."""
        return later("looking", "LookDesk")(self.parts, self.credentials)  # type: ignore[no-any-return]

    @cached_property
    def figures(self) -> FiguresDesk:
        """How questions went, day by day."""
        return later("figures", "FiguresDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def proposals(self) -> ProposalDesk:
        """What takes two people, and waits for the second."""
        return later("proposals", "ProposalDesk")(self.parts)  # type: ignore[no-any-return]

    @cached_property
    def budgets(self) -> BudgetDesk:
        """What may be spent."""
        return later("budgets", "BudgetDesk")(self.parts, self.money)  # type: ignore[no-any-return]
