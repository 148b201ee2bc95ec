"""What may be done at all: modes, kill switches, and where secrets are; rows with ``since`` and ``until``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from affidavit.domain.errors import StoppedError
from affidavit.domain.records import FOREVER
from affidavit.store.database import Database

EVERYWHERE = 0
"""The tenant of what is stopped for all of them."""
READ_ONLY, LIVE = "read-only", "live"
MODES = (READ_ONLY, LIVE)
KINDS = ("all", "tenant", "tool", "source", "model")
_OPEN = f"until = {FOREVER}"
_AT = "since <= ? AND until > ?"
_COLUMNS = "tenant, kind, name, reason, stated_by, since"


@dataclass(frozen=True)
class Kill:
    """Something that is stopped. ``name`` is "" for ``all`` and ``tenant``; a tool's may have its version, or is all of them."""

    tenant: int
    kind: str
    name: str
    reason: str
    by: str
    since: int

    @property
    def whole(self) -> bool:
        """Whether nothing goes on: neither questions nor syncs nor tools."""
        return self.kind in ("all", "tenant")

    @property
    def what(self) -> str:
        """As ``kill`` and ``revive`` take it, without the tenant's name."""
        return f"{self.kind}:{self.name}" if self.name else self.kind

    def why(self) -> str:
        """For people."""
        what = "everything" if self.kind == "all" else "the tenant" if self.kind == "tenant" else self.what
        return f"{what} is stopped: {self.reason}"

    def error(self) -> StoppedError:
        """To be raised by whatever this stops."""
        return StoppedError(
            self.why(), "`affidavit kill` lists what is stopped; whoever stopped it can revive it"
        )


@dataclass(frozen=True)
class SecretPlace:
    """Where a secret is: ``kind`` ``env`` or ``file``, ``place`` the variable's name or the file's path. Never the secret."""

    name: str
    kind: str
    place: str


class Controls:
    """Reads outside a transaction too; each call sees what was committed last. ``position`` is that of the event of a change."""

    def __init__(self, database: Database) -> None:
        self._db = database

    # -- modes

    def mode(self, tenant: int, position: int | None = None) -> str:
        """The tenant's mode, now or at ``position``; read-only until somebody says otherwise."""
        at, values = (_OPEN, ()) if position is None else (_AT, (position, position))
        found = self._db.value(f"SELECT mode FROM modes WHERE tenant = ? AND {at}", (tenant, *values))
        return LIVE if found == LIVE else READ_ONLY

    def set_mode(self, tenant: int, mode: str, position: int) -> None:
        self._db.run(f"UPDATE modes SET until = ? WHERE tenant = ? AND {_OPEN}", (position, tenant))
        self._db.run(
            "INSERT INTO modes (tenant, mode, since, until) VALUES (?, ?, ?, ?)",
            (tenant, mode, position, FOREVER),
        )

    # -- kill switches

    def kills(self, tenant: int, position: int | None = None) -> list[Kill]:
        """What is stopped for ``tenant``, now or at ``position``, with what is stopped everywhere."""
        at, values = (_OPEN, ()) if position is None else (_AT, (position, position))
        rows = self._db.all(
            f"SELECT {_COLUMNS} FROM kills WHERE tenant IN ({EVERYWHERE}, ?) AND {at} ORDER BY since",
            (tenant, *values),
        )
        return [Kill(*row) for row in rows]

    def tool(self, tenant: int, tool: str) -> str:
        """Why ``tool`` (``name@version``) may not be called, "" if it may."""
        names = (tool, tool.partition("@")[0])
        for kill in self.kills(tenant):
            if kill.whole or (kill.kind == "tool" and kill.name in names):
                return kill.why()
        return ""

    def model(self, names: Sequence[str]) -> str:
        """Why a model that goes by ``names`` may not be asked, "" if it may."""
        for kill in self.kills(EVERYWHERE):
            if kill.kind == "all" or (kill.kind == "model" and kill.name in names):
                return kill.reason
        return ""

    def kill(self, kill: Kill) -> None:
        self._db.run(
            f"INSERT INTO kills ({_COLUMNS}, until) VALUES (?, ?, ?, ?, ?, ?, {FOREVER})",
            (kill.tenant, kill.kind, kill.name, kill.reason, kill.by, kill.since),
        )

    def revive(self, tenant: int, kind: str, name: str, position: int) -> None:
        self._db.run(
            f"UPDATE kills SET until = ? WHERE tenant = ? AND kind = ? AND name = ? AND {_OPEN}",
            (position, tenant, kind, name),
        )

    # -- secrets

    def secrets(self, tenant: int) -> list[SecretPlace]:
        rows = self._db.all(
            f"SELECT name, kind, place FROM secrets WHERE tenant = ? AND {_OPEN} ORDER BY name", (tenant,)
        )
        return [SecretPlace(*row) for row in rows]

    def set_secret(self, tenant: int, secret: SecretPlace, position: int) -> None:
        self.remove_secret(tenant, secret.name, position)
        self._db.run(
            "INSERT INTO secrets (tenant, name, kind, place, since, until) VALUES (?, ?, ?, ?, ?, ?)",
            (tenant, secret.name, secret.kind, secret.place, position, FOREVER),
        )

    def remove_secret(self, tenant: int, name: str, position: int) -> None:
        self._db.run(
            f"UPDATE secrets SET until = ? WHERE tenant = ? AND name = ? AND {_OPEN}",
            (position, tenant, name),
        )
