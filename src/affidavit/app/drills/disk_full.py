"""The disk fills up in the middle of work, and later has room again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from affidavit.app.drills.child import Child
from affidavit.app.drills.kill import _question
from affidavit.app.drills.lab import Lab, describe
from affidavit.app.drills.promise import Promise
from affidavit.app.drills.stock import NAME, Stock, lay_in
from affidavit.app.wiring import DATABASE

if TYPE_CHECKING:
    from affidavit.app.workspace import Workspace

_LEFT = 96 * 1024  # bytes free when work goes on
_SPARE = 24 * 2**20  # of the small disk: what the copy may grow by once there is room again
_MOST = 400  # questions until the disk must be full
_PEOPLE = 300
_LINES = 800  # of a document that cannot fit any more, and is embedded quickly once it does

# A file system of our own in the memory, in a mount namespace of our own: needs no root where users may make namespaces.
_MOUNT = 'mount -t tmpfs -o size="$1" drill "$2" && shift 2 && exec "$@"'
_BARE = ("unshare", "--mount", "sh", "-c", _MOUNT, "sh")
_AS_USER = ("unshare", "--mount", "--map-root-user", "sh", "-c", _MOUNT, "sh")


class DiskFull:
    """Implements ``Drill``."""

    name = "disk-full"
    breaks = "the disk that holds the workspace fills up during answers, syncs and imports, and has room again later"
    promises = (
        Promise("refused", "when the disk is full, work is refused with an error that says so"),
        Promise("nothing-lost", "every answer that was given before is on the record"),
        Promise("no-half", "nothing is half done: log and catalog are sound while the disk is full"),
        Promise("recovers", "with room again the same commands succeed, without repair by hand"),
    )

    def run(self, lab: Lab) -> None:
        with lab.open() as ws:
            stock = lay_in(lab, ws)
        (lab.room / "people.jsonl").write_text(
            "\n".join(json.dumps({"id": f"drill-{n}", "groups": ["drill"]}) for n in range(_PEOPLE)),
            encoding="utf-8",
        )
        disk = lab.room / "disk"
        disk.mkdir()
        before = _small_disk(lab, disk)
        if before is None:
            lab.note(
                "No small file system could be mounted here (unshare and tmpfs are needed), so a limit on the size of files "
                "was used. It fails writes as a quota does; the error may name the disk rather than its being full."
            )
            self._limited(lab, stock)
        else:
            lab.note("The disk was a file system of its own (tmpfs), really full.")
            self._mounted(lab, stock, disk, before)
        with lab.open() as ws:
            lab.sound(ws)

    def _mounted(self, lab: Lab, stock: Stock, disk: Path, before: list[str]) -> None:
        ballast, there = str(disk / "ballast"), str(disk / "ws")
        with Child(lab, before=before) as child:
            child.call("copy", **{"from": str(lab.folder), "to": there})
            child.call("open", folder=there)
            child.call("fill", file=ballast, leave=_LEFT)
            given = self._work(lab, child, stock)
            child.call("close")
            full = lab.room / "full"
            child.call("copy", **{"from": there, "to": str(full)})
            self._inspect(lab, stock, full, given)
            child.call("free", file=ballast)
            given += self._again(lab, child, stock, there)
            child.call("close")
            after = lab.room / "after"
            child.call("copy", **{"from": there, "to": str(after)})
        self._inspect(lab, stock, after, given)

    def _limited(self, lab: Lab, stock: Stock) -> None:
        folder = str(lab.folder)
        with Child(lab) as child:
            child.call("open", folder=folder)
            child.call("limit", bytes=(lab.folder / DATABASE).stat().st_size + _LEFT)
            given = self._work(lab, child, stock)
            child.call("close")
            full = lab.room / "full"
            shutil.copytree(lab.folder, full)
            self._inspect(lab, stock, full, given)
            child.call("free")
            given += self._again(lab, child, stock, folder)
            child.call("close")
        self._inspect(lab, stock, lab.folder, given)

    def _work(self, lab: Lab, child: Child, stock: Stock) -> list[dict[str, Any]]:
        """Ask until that is refused, then sync and import; the answers that were given."""
        given: list[dict[str, Any]] = []
        error: dict[str, Any] = {}
        for _ in range(_MOST):
            answer = child.call("ask", **_question(stock))
            if "error" in answer:
                error = answer
                break
            given.append(answer)
        big = stock.folder / "big.txt"
        big.write_text(
            "".join(f"Walrus {n} of many has a number.\n\n" for n in range(_LINES)), encoding="utf-8"
        )
        others = [
            child.call("sync", source=NAME, tenant=stock.tenant),
            child.call("import", file=str(lab.room / "people.jsonl"), tenant=stock.tenant, n=0),
        ]
        lab.watched(f"{len(given)} answers, then: {error.get('message', 'the disk did not become full')}")
        told = [f"{o.get('error', 'done')}" for o in others]
        lab.check(
            "refused",
            bool(error),
            f"a question: {error.get('error')}; a sync: {told[0]}; an import: {told[1]}",
        )
        return given

    def _again(self, lab: Lab, child: Child, stock: Stock, folder: str) -> list[dict[str, Any]]:
        steps = {
            "open": child.call("open", folder=folder),
            "a question": (asked := child.call("ask", **_question(stock))),
            "a sync": child.call("sync", source=NAME, tenant=stock.tenant),
            "an import": child.call("import", file=str(lab.room / "people.jsonl"), tenant=stock.tenant, n=0),
            "verify": child.call("verify"),
        }
        failed = {what: answer["message"] for what, answer in steps.items() if "error" in answer}
        lab.watched(f"with room again: {failed or 'everything succeeds'}")
        lab.check("recovers", not failed, f"{failed or 'a question, a sync and an import succeeded at once'}")
        return [asked] if "run" in asked else []

    def _inspect(self, lab: Lab, stock: Stock, folder: Path, given: list[dict[str, Any]]) -> None:
        """The workspace as it lies on the disk, looked at where there is room."""
        with lab.seams.open(folder, None) as ws:
            verified = lab.attempt(ws.verify)
            sound = not isinstance(verified, Exception)
            told = (
                describe(verified)
                if isinstance(verified, Exception)
                else f"{verified['events']} events verified"
            )
            lab.check("no-half", sound and _people(ws, stock) in (0, _PEOPLE), told)
            lost = len(lab.lost(ws, stock.tenant, given))
            lab.check(
                "nothing-lost", not lost, f"{len(given)} answers were given, {lost} are not on the record"
            )


def _people(ws: Workspace, stock: Stock) -> int:
    return sum(n.startswith("user:drill-") for n in ws.people.names(ws.parts.tenant(stock.tenant)))


def _small_disk(lab: Lab, disk: Path) -> list[str] | None:
    """The beginning of a command that runs with a small disk mounted at ``disk``, if this machine can do that."""
    size = sum(p.stat().st_size for p in lab.folder.rglob("*") if p.is_file())
    bytes_ = str(2 * size + _SPARE)
    if shutil.which("unshare") is None:
        return None
    for start in (_BARE, _AS_USER) if os.geteuid() == 0 else (_AS_USER,):
        command = [*start, bytes_, str(disk)]
        tried = subprocess.run([*command, "true"], capture_output=True, check=False)  # noqa: S603  # our own words
        if tried.returncode == 0:
            return command
    return None
