"""What the catalog must hold, worked out from the log's events one after another and without keeping their bodies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from affidavit.app.callfold import CallFold
from affidavit.domain.canonical import canonical, digest
from affidavit.domain.errors import LogDamagedError
from affidavit.domain.events import EventKind
from affidavit.domain.records import FOREVER
from affidavit.events.verify import Fold, Noted

Intervals = dict[Any, list[list[Any]]]
_NOTHING = "0" * 64
CREDENTIAL = ("kind", "principal", "name", "digest", "scopes", "acts_for", "expires", "made_by")
"""What an event says of a credential, and its row must."""
SWEPT = ("session", "link", "look")
"""Kinds of credentials whose rows are not kept for ever."""
PROPOSAL = ("operation", "principal", "speaker", "scopes", "proof", "asked", "expires")
"""The same of a proposal."""


def packed(name: str, title: str, text: str, details: str, chunks: str, original: str | None) -> bytes:
    """What an event says of a revision, in 160 bytes: five digests."""
    return bytes.fromhex(digest([name, title]) + text + details + chunks + (original or _NOTHING))


class CatalogFold:
    """Takes events in order; afterwards its attributes say what the tables must hold.

    ``people``, ``members`` and ``grants`` map a key to [since, until, extra] of each row; ``revisions`` (document, position) to
    ``packed``, or to None where that was erased; ``erased`` a document to the position of its erasure.
    """

    def __init__(self) -> None:
        self.people: Intervals = defaultdict(list)
        self.members: Intervals = defaultdict(list)
        self.grants: Intervals = defaultdict(list)
        self.identity: dict[int, tuple[int, int, str]] = {}
        self.revisions: dict[tuple[int, int], bytes | None] = {}
        self.chunk_counts: dict[tuple[int, int], int] = {}
        self.governed: dict[tuple[int, int], Mapping[str, Any]] = {}
        self.ended: dict[int, int] = {}
        self.erased: dict[int, int] = {}
        self.current: dict[int, Mapping[str, Any]] = {}
        self.holds: dict[int, list[Any]] = {}
        self.retention: dict[str, dict[str, int]] = {}
        self.redaction: Any = None
        self.barred: dict[tuple[int, str], list[list[int]]] = defaultdict(list)
        self.budgets: list[list[Any]] = []
        self.prices: Any = None
        self.calls = CallFold()
        self.imports: list[list[Any]] = []
        self.modes: list[list[Any]] = []
        self.kills: list[list[Any]] = []
        self.secrets: list[list[Any]] = []
        self.objectives: list[list[Any]] = []
        self.credentials: dict[str, list[Any]] = {}
        self.proposals: dict[str, list[Any]] = {}
        self.four_eyes: list[list[Any]] = []
        self._shared: dict[bytes, Mapping[str, Any]] = {}
        self._take = {
            EventKind.PERSON_CHANGED: self._person,
            EventKind.MEMBERSHIP_CHANGED: self._membership,
            EventKind.GRANT_CHANGED: self._grant,
            EventKind.DOCUMENT_INDEXED: self._indexed,
            EventKind.DOCUMENT_REMOVED: self._removed,
            EventKind.ACCESS_CHANGED: self._access,
            EventKind.BODY_ERASED: self._erasure,
            EventKind.KEEPING_CHANGED: self._keeping,
            EventKind.BUDGET_CHANGED: self._budget,
            EventKind.PRICES_CHANGED: self._priced,
            **self.calls.takes,
            EventKind.IMPORT_CHANGED: self._import,
            EventKind.MODE_CHANGED: self._mode,
            EventKind.KILL_CHANGED: self._kill,
            EventKind.SECRET_CHANGED: self._secret,
            EventKind.LEVEL_CHANGED: self._level,
            EventKind.CREDENTIAL_CHANGED: self._credential,
            EventKind.PROPOSAL_CHANGED: self._proposal,
        }

    def fold(self) -> Fold:
        """What ``LogVerifier`` tells events to. Raises LogDamagedError for an event that says nothing sensible."""
        return Fold(frozenset(kind.value for kind in self._take), self._noted)

    def _noted(self, event: Noted) -> None:
        try:
            self._take[event.kind](event)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            # whoever holds the log's key can sign events that say nothing sensible
            raise LogDamagedError(
                f"position {event.position}: the event is not of the form that affidavit writes ({error!r})",
                "somebody changed the database by hand; restore it from a backup",
            ) from error

    # -- people: what was erased says nothing any more, and the rows it was about must be gone

    def _person(self, event: Noted) -> None:
        if event.erased:
            return
        rows = self.people[event.tenant, event.body["principal"]]
        _close(rows, event.position)
        if event.facts["change"] != "removed":
            rows.append([event.position, FOREVER, canonical(event.body["facts"]).decode()])

    def _membership(self, event: Noted) -> None:
        if event.erased:
            return
        who = event.body["principal"]
        for group in event.body["left"]:
            _close(self.members[event.tenant, group, who], event.position)
        for group in event.body["joined"]:
            self.members[event.tenant, group, who].append([event.position, FOREVER, ""])

    def _grant(self, event: Noted) -> None:
        if event.erased:
            return
        rows = self.grants[event.tenant, event.facts["action"], event.body["principal"]]
        if event.facts["change"] == "granted":
            rows.append([event.position, FOREVER, ""])
        else:
            _close(rows, event.position)

    # -- documents

    def _indexed(self, event: Noted) -> None:
        document, body = event.facts["subject"], event.body
        at = document, event.position
        if event.erased:
            self.identity[document] = (event.tenant, event.facts["source"], "")
            self.revisions[at], self.chunk_counts[at] = None, event.facts["chunks"]
            return
        self.identity[document] = (event.tenant, event.facts["source"], body["name"])
        self.revisions[at] = packed(
            body["revision"], body["title"], body["text"], body["details"], body["chunks"], body["original"]
        )
        if self.current.get(document) != body["governance"]:
            self._govern(document, event.position, body["governance"])

    def _removed(self, event: Noted) -> None:
        self.ended[event.facts["subject"]] = event.position
        self.current.pop(event.facts["subject"], None)

    def _access(self, event: Noted) -> None:
        for change in event.body:
            for document in change["documents"]:
                self._govern(document, event.position, change["governance"])

    def _govern(self, document: int, position: int, governance: Mapping[str, Any]) -> None:
        shared = self._shared.setdefault(canonical(governance), governance)
        self.current[document] = self.governed[document, position] = shared

    # -- erasures, holds, retention, redaction

    def _erasure(self, event: Noted) -> None:
        for document in event.body.get("documents", ()):
            self.erased[document] = event.position
        for mark in event.body.get("barred", ()):
            self.barred[event.tenant, mark].append([event.position, FOREVER])

    def _keeping(self, event: Noted) -> None:
        body, change = event.body, event.facts["change"]
        match event.facts["subject"]:
            case "hold" if change == "added":
                said = [body[k] for k in ("kind", "subject", "source", "reason", "by")]
                self.holds[body["id"]] = [event.tenant, *said, event.position, FOREVER]
            case "hold":
                self.holds[body["id"]][-1] = event.position
            case "retention":
                days = self.retention.setdefault(str(event.tenant), {})
                days.pop(body["kind"], None)
                if body["days"]:
                    days[body["kind"]] = body["days"]
            case "redaction":
                self.redaction = body["rules"]
            case "readmission":
                _close(self.barred[event.tenant, body["mark"]], event.position)
            case other:
                raise ValueError(other)

    # -- money

    def _budget(self, event: Noted) -> None:
        number, change = event.facts["subject"], event.facts["change"]
        if change in ("set", "removed"):
            for row in self.budgets:
                if row[0] == number and row[-1] == FOREVER:
                    row[-1] = event.position
        if change == "set":
            said = [event.body[k] for k in ("who", "task", "per", "amount", "requests", "currency")]
            self.budgets.append([number, event.tenant, *said, event.position, FOREVER])

    def _priced(self, event: Noted) -> None:
        if digest(event.body["prices"]) != event.facts["prices"]:
            raise ValueError("the prices do not have the digest they are filed under")
        self.prices = event.body["prices"]

    # -- controls: what may be done at all

    def _import(self, event: Noted) -> None:
        name = event.body["name"]
        _end(self.imports, [name], event.position)
        if event.facts["change"] == "accepted":
            self.imports.append([name, event.facts["subject"], event.position, FOREVER])

    def _mode(self, event: Noted) -> None:
        _end(self.modes, [event.tenant], event.position)
        self.modes.append([event.tenant, event.facts["mode"], event.position, FOREVER])

    def _kill(self, event: Noted) -> None:
        body, what = event.body, [event.tenant, event.facts["subject"], event.body["name"]]
        if event.facts["change"] == "killed":
            self.kills.append([*what, body["reason"], body["by"], event.position, FOREVER])
        else:
            _end(self.kills, what, event.position)

    def _secret(self, event: Noted) -> None:
        body, what = event.body, [event.tenant, event.body["name"]]
        _end(self.secrets, what, event.position)
        if event.facts["change"] == "set":
            self.secrets.append([*what, body["kind"], body["place"], event.position, FOREVER])

    def _level(self, event: Noted) -> None:
        if event.facts["change"] not in ("set", "removed"):
            return  # what was found about a level: it changes no row
        what = [event.tenant, event.facts["subject"], event.facts["source"]]
        _end(self.objectives, what, event.position)
        if event.facts["change"] == "set":
            said = [event.body[k] for k in ("within", "share", "days")]
            self.objectives.append([*what, *said, event.position, FOREVER])

    def _credential(self, event: Noted) -> None:
        """An erased body leaves the id, and when it began and ended; whose it was is then not known any more."""
        id, body = event.facts["subject"], event.body
        match event.facts["change"]:
            case "made":
                said = None if event.erased else [body[name] for name in CREDENTIAL]
                self.credentials[id] = [event.tenant, said, event.position, FOREVER]
            case "shortened":
                if not event.erased and self.credentials[id][1] is not None:
                    self.credentials[id][1][CREDENTIAL.index("expires")] = body["expires"]
            case "swept":  # of nothing but what passes by itself: a key that is not there was not swept
                for gone in body["ids"]:
                    row = self.credentials.get(gone)
                    if row is not None and (row[1] is None or row[1][0] in SWEPT):
                        del self.credentials[gone]
            case _:
                self.credentials[id][-1] = event.position

    def _proposal(self, event: Noted) -> None:
        id, change, body = event.facts["subject"], event.facts["change"], event.body
        if change == "required":
            _end(self.four_eyes, [event.tenant], event.position)
            actions = canonical(body["actions"]).decode()
            self.four_eyes.append([event.tenant, actions, body["by"], event.position, FOREVER])
        elif change == "made":
            said = None if event.erased else [body[name] for name in PROPOSAL]
            self.proposals[id] = [event.tenant, said, change, event.position, FOREVER]
        else:
            self.proposals[id][2:] = [change, self.proposals[id][3], event.position]


def _end(rows: list[list[Any]], key: list[Any], position: int) -> None:
    """Close the open row that begins with ``key``."""
    for row in rows:
        if row[: len(key)] == key and row[-1] == FOREVER:
            row[-1] = position


def _close(rows: list[list[Any]], position: int) -> None:
    for row in rows:
        if row[1] == FOREVER:
            row[1] = position
