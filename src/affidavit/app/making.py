"""Making a workspace."""

from __future__ import annotations

import json
import os
from pathlib import Path

from affidavit.app.config import EmbedderSpec
from affidavit.app.wiring import DATABASE, INDEX, KEY, SERVING, SETTINGS, STABLE, schema
from affidavit.domain.clock import Clock, Randomness
from affidavit.domain.errors import DiskFullError, UsageError, WorkspaceError, WorkspaceMissingError
from affidavit.domain.events import Event, EventKind
from affidavit.domain.release import DEFAULT, load
from affidavit.events.log import KEY_BYTES, Log, Signer, Transaction
from affidavit.store.bodies import Bodies
from affidavit.store.catalog import Catalog
from affidavit.store.database import SCHEMA_VERSION, Database


def make(folder: Path, embedder: EmbedderSpec, clock: Clock, randomness: Randomness) -> None:
    """Make a workspace in ``folder``: a new or empty directory, or one whose making was cut off.

    Raises UsageError for one that is there already, WorkspaceError where it cannot be made, DiskFullError.
    """
    if (folder / DATABASE).is_file() and _finished(folder):
        raise UsageError(f"{folder} is a workspace already", f"look at it with: affidavit -w {folder} status")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # every text is in there
        foreign = {p.name for p in folder.iterdir()} - {
            DATABASE,
            f"{DATABASE}-wal",
            f"{DATABASE}-shm",
            INDEX,
            "keys",
            "locks",
            SETTINGS,
        }
        if foreign:
            raise WorkspaceError(
                f"{folder} is not empty: it holds {sorted(foreign)[0]!r}",
                "choose a new directory for the workspace",
            )
        _make_key(folder / KEY, randomness)
    except OSError as error:
        raise _unusable(folder, error) from error
    database = Database(folder / DATABASE)
    database.create(schema())
    _first_events(folder, database, embedder, clock, randomness)
    database.close()


def _finished(folder: Path) -> bool:
    database = Database(folder / DATABASE)
    try:
        database.check()
        return Catalog(database).setting("origin") is not None
    except WorkspaceMissingError:
        return False
    finally:
        database.close()


def _unusable(folder: Path, error: OSError) -> WorkspaceError:
    if error.errno == 28:  # ENOSPC
        return DiskFullError(
            f"the disk that holds {folder} is full", "free some space and run the command again"
        )
    return WorkspaceError(f"{folder} cannot be made: {error.strerror}", "check the path and its permissions")


def _make_key(path: Path, randomness: Randomness) -> None:
    """The log's private key, readable by its owner alone; durable before anything is signed with it.

    Made anew even if a file is there: nothing was signed yet, and who knows who put it there.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(randomness.token(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _first_events(
    folder: Path, database: Database, spec: EmbedderSpec, clock: Clock, randomness: Randomness
) -> None:
    origin = f"affidavit/{randomness.token(8).hex()}"
    signer = Signer(folder / KEY, origin)
    catalog = Catalog(database)
    log = Log(database, Bodies(database, randomness), clock, signer)
    release = load(DEFAULT)

    def write(tx: Transaction) -> None:
        if catalog.setting("origin") is not None:
            raise UsageError(f"{folder} was made a workspace by another process just now", "use it")
        catalog.set_setting("origin", origin)
        catalog.set_setting("verifier", signer.verifier())
        catalog.set_setting(SERVING, json.dumps(spec.as_json()))
        tx.append(
            Event(
                EventKind.WORKSPACE_CREATED,
                facts={"schema": SCHEMA_VERSION},
                body={"origin": origin, "verifier": signer.verifier(), "embedder": spec.as_json()},
            )
        )
        facts: dict[str, int | str] = {"release": release.digest, "channel": STABLE}
        position = tx.append(Event(EventKind.RELEASE_PUBLISHED, facts=facts, body=release.content))
        catalog.publish(release.digest, release.content, STABLE, position)

    log.write(write)
