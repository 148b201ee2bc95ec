"""The documents, people and questions that are served: the same for affidavit and for what one would build instead.

Each of 60 cities is written about by each of 20 teams, in a document that this team alone may read; a person is in five teams. So
a question about a city has 20 right documents, of which whoever asks may read five, and nothing else tells these from the others.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from affidavit.app.config import default_embedder
from affidavit.app.people import Entry
from affidavit.app.workspace import Workspace, init

PEOPLE, TEAMS, TEAMS_OF_ONE = 32, 20, 5
CITIES = (
    *("Lisbon", "Oslo", "Vienna", "Prague", "Dublin", "Athens", "Riga", "Tallinn", "Vilnius", "Warsaw"),
    *("Madrid", "Seville", "Porto", "Lyon", "Nantes", "Bordeaux", "Turin", "Bologna", "Naples", "Palermo"),
    *("Zurich", "Geneva", "Basel", "Graz", "Salzburg", "Munich", "Hamburg", "Leipzig", "Dresden", "Bremen"),
    *("Ghent", "Bruges", "Antwerp", "Utrecht", "Leiden", "Aarhus", "Odense", "Malmo", "Gothenburg", "Bergen"),
    *(
        "Helsinki",
        "Tampere",
        "Turku",
        "Krakow",
        "Gdansk",
        "Brno",
        "Bratislava",
        "Budapest",
        "Zagreb",
        "Split",
    ),
    *("Ljubljana", "Sofia", "Varna", "Bucharest", "Cluj", "Nicosia", "Valletta", "Cork", "Galway", "Leeds"),
)
_ABOUT = {
    "daily meal allowance": "The daily meal allowance for a trip to {city} is {n} euros, and receipts are kept.",
    "hotel limit": "The hotel limit for a trip to {city} is {m} euros a night, breakfast included.",
    "booking deadline": "The booking deadline for a trip to {city} is {d} days ahead, through the travel desk.",
    "taxi budget": "The taxi budget for a trip to {city} is {t} euros, for the whole of {team}.",
}
_REST = (
    "Trains are preferred where the journey takes less than five hours, and flights are in economy class.",
    "Whoever travels for more than a week may fly home once, and agrees on it with their lead beforehand.",
    "Expenses are handed in within thirty days; what comes later is paid with the next salary at the earliest.",
    "A rented car needs a reason. Fuel is paid by receipt, a private car by the kilometre.",
    "Visitors are met at the station and are given a guest card, which they wear and hand back when they leave.",
)


@dataclass(frozen=True)
class Served:
    """What is served: ``groups`` by person, ``keys`` of the people in order."""

    ws: Workspace
    folder: Path
    groups: dict[str, frozenset[str]]
    keys: list[str]

    @property
    def people(self) -> list[str]:
        return list(self.groups)

    def ours(self, person: str, group: str, member: bool) -> None:
        """``person`` is in ``group``, or no longer, for affidavit; durable when this returns."""
        change = self.ws.people.join if member else self.ws.people.leave
        change(self.ws.parts.tenant(""), f"user:{person}", group)

    def peers(self, person: str, group: str, member: bool) -> None:
        """The same for the peers."""
        with closing(sqlite3.connect(self.folder / "people.db", isolation_level=None, timeout=30)) as db:
            db.execute("PRAGMA synchronous=FULL")
            db.execute("DELETE FROM member WHERE (person, name) = (?, ?)", (person, group))
            if member:
                db.execute("INSERT INTO member VALUES (?, ?)", (person, group))


def team(n: int) -> str:
    return f"team{n:02}"


def document(city: int, n: int) -> str:
    """Its name says whose it is: ``Lisbon`` by ``team07`` is ``team07/lisbon.md``."""
    return f"{team(n)}/{CITIES[city].lower()}.md"


def _text(city: int, n: int) -> str:
    rng = random.Random(city * TEAMS + n)
    name = CITIES[city]
    sums = {
        "n": rng.randint(20, 90),
        "m": rng.randint(80, 260),
        "d": rng.randint(3, 40),
        "t": rng.randint(10, 99),
    }
    said = [about.format(city=name, team=team(n), **sums) for about in _ABOUT.values()]
    return f"# Travelling to {name}: the rules of {team(n)}\n\n{' '.join(said)}\n\n{' '.join(rng.sample(_REST, 3))}\n"


_OPENINGS = (
    "What is",
    "What's",
    "And what is",
    "So what is",
    "Now, what is",
    "Please: what is",
    "But what is",
    "Well, what is",
)
_CLOSINGS = ("?", " now?", " then?", " again?", " here?", " too?")


def question(number: int) -> tuple[int, str]:
    """(city, text) of question ``number``: 11,520 texts, each asked once before the first comes back."""
    turn, city = divmod(number, len(CITIES))
    what = list(_ABOUT)[turn % len(_ABOUT)]
    opening = _OPENINGS[turn // len(_ABOUT) % len(_OPENINGS)]
    closing = _CLOSINGS[turn // len(_ABOUT) // len(_OPENINGS) % len(_CLOSINGS)]
    return city, f"{opening} the {what} for a trip to {CITIES[city]}{closing}"


def right(city: int, groups: frozenset[str]) -> frozenset[str]:
    """The documents that answer a question about ``city`` for somebody in ``groups``."""
    return frozenset(document(city, n) for n in range(TEAMS) if team(n) in groups)


def make(folder: Path) -> Served:
    """The workspace, and beside it what the peers read."""
    docs = folder / "docs"
    for n in range(TEAMS):
        place = docs / team(n)
        place.mkdir(parents=True)
        (place / "access.toml").write_text(f'allow = ["group:{team(n)}"]')
        for city in range(len(CITIES)):
            (place / f"{CITIES[city].lower()}.md").write_text(_text(city, n))
    ws = init(folder / "ws", default_embedder())
    names = [f"p{n:02}" for n in range(PEOPLE)]
    groups = {
        name: frozenset(team((n + 4 * m) % TEAMS) for m in range(TEAMS_OF_ONE))
        for n, name in enumerate(names)
    }
    ws.load_people(
        [Entry(f"user:{name}", frozenset(f"group:{g}" for g in of), {}) for name, of in groups.items()]
    )
    ws.add_source("folder", docs, "travel")
    ws.sync()
    tenant = ws.parts.tenant("")
    keys = [
        ws.credentials.make_key(tenant, f"user:{name}", "bench", 2, "operator:bench")[1] for name in names
    ]
    (ws.parts.folder / "server.toml").write_text(
        "[limits]\nperson_per_minute = 0\ntenant_per_minute = 0\n[logs]\nrequests = false\n"
    )
    return Served(ws, folder, groups, keys)


def hand_over(served: Served) -> None:
    """Chunks, their vectors and who is in which group, for the peers: what affidavit itself has."""
    ws, folder = served.ws, served.folder
    with ws.parts.database.read():
        feed, head = ws.parts.feed(), ws.parts.log.head()
        rows = list(feed.chunks(-1, head))
        names: dict[int, str] = dict(ws.parts.database.all("SELECT id, name FROM documents"))
    with (folder / "chunks.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            name = names[row.document]
            line = {"id": str(row.chunk), "document": name, "group": name.split("/")[0], "text": row.text}
            file.write(json.dumps(line) + "\n")
    np.save(folder / "vectors.npy", np.stack([row.vector for row in rows if row.vector is not None]))
    (folder / "people.db").unlink(missing_ok=True)
    db = sqlite3.connect(folder / "people.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE keys (digest TEXT PRIMARY KEY, person TEXT) WITHOUT ROWID")
    db.execute("CREATE TABLE member (person TEXT, name TEXT, PRIMARY KEY (person, name)) WITHOUT ROWID")
    for person, key in zip(served.people, served.keys, strict=True):
        db.execute("INSERT INTO keys VALUES (?, ?)", (hashlib.sha256(key.encode()).hexdigest(), person))
        db.executemany("INSERT INTO member VALUES (?, ?)", [(person, g) for g in served.groups[person]])
    db.close()
