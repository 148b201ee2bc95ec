"""Writes what the tests need of the published OCSF schema: for each class we use, what is required, known, or listed.

Development only, with a checkout of the schema at the version we write:

    python tools/ocsf_extract.py FOLDER_OF_OCSF_SCHEMA > tests/adapters/ocsf_1_8_0_required.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CLASSES = (
    "events/application/api_activity",
    "events/application/datastore_activity",
    "events/iam/entity_management",
)


class Schema:
    """A checkout of the schema's sources."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._events, self._objects = self._folder("events"), self._folder("objects")
        self._dictionary = json.loads((root / "dictionary.json").read_text("utf-8"))["attributes"]
        self._categories = json.loads((root / "categories.json").read_text("utf-8"))["attributes"]

    def _folder(self, name: str) -> dict[str, dict[str, Any]]:
        read = [json.loads(path.read_text("utf-8")) for path in sorted((self._root / name).rglob("*.json"))]
        return {r["name"]: r for r in read if "name" in r}

    def merged(self, name: str, among: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """A class or object with everything it inherits; profiles that are included may be used but are not required."""
        own = among[name]
        base = self.merged(own["extends"], among) if own.get("extends") in among else {"attributes": {}}
        attributes: dict[str, dict[str, Any]] = {k: dict(v) for k, v in base["attributes"].items()}
        for key, value in own.get("attributes", {}).items():
            if key == "$include":
                for path in value:
                    profile = json.loads((self._root / path).read_text("utf-8"))["attributes"]
                    for included in profile:
                        attributes.setdefault(included, {"requirement": "optional"})
                continue
            known = attributes.get(key, {})
            enum = {**known.get("enum", {}), **value.get("enum", {})}
            attributes[key] = {**known, **value, **({"enum": enum} if enum else {})}
        constraints = own.get("constraints") or base.get("constraints") or {}
        return {**base, **own, "attributes": attributes, "constraints": constraints}

    def object(self, name: str) -> dict[str, Any]:
        """The extract of one object."""
        return self._rules(self.merged(name, self._objects))

    def _rules(self, merged: dict[str, Any]) -> dict[str, Any]:
        attributes = merged["attributes"]
        enums, objects = {}, {}
        for key, value in attributes.items():
            said = self._dictionary.get(key, {})
            values = {**said.get("enum", {}), **value.get("enum", {})}
            if values and all(v.lstrip("-").isdigit() for v in values):
                enums[key] = sorted(int(v) for v in values)
            kind = value.get("type") or said.get("type", "")
            if kind in self._objects and not said.get("is_array"):
                objects[key] = kind
        for key in ("class_uid", "category_uid", "type_uid"):
            enums.pop(key, None)  # worked out from the class
        return {
            "required": sorted(k for k, v in attributes.items() if v.get("requirement") == "required"),
            "at_least_one": sorted(merged["constraints"].get("at_least_one", [])),
            "known": sorted(attributes),
            "enums": enums,
            "objects": objects,
        }

    def of_class(self, path: str) -> tuple[str, dict[str, Any]]:
        """(class_uid, the extract of the class in ``path``)."""
        name = Path(path).name
        merged = self.merged(name, self._events)
        category = self._categories[merged["category"]]["uid"]
        rules = {"caption": merged["caption"], "category_uid": category, **self._rules(merged)}
        return str(category * 1000 + merged["uid"]), rules


OBJECTS = (
    "actor", "api", "database", "managed_entity", "metadata", "network_endpoint", "product", "service", "user",
)  # fmt: skip


def main(root: Path) -> None:
    schema = Schema(root)
    version = json.loads((root / "version.json").read_text("utf-8"))["version"]
    out = {
        "made_by": "tools/ocsf_extract.py",
        "version": version,
        "classes": dict(schema.of_class(path) for path in CLASSES),
        "objects": {name: schema.object(name) for name in OBJECTS},
    }
    sys.stdout.write(json.dumps(out, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
