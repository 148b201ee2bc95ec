"""Where things are on the server's disk: kept from whoever asks over the network, who is told the source's name instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from affidavit.app.workspace import Workspace
from affidavit.store.people import Tenant

_LOCATION = "location"


class Places:
    """What the server's own paths are called for people of ``tenant``."""

    def __init__(self, ws: Workspace, tenant: Tenant) -> None:
        rows = ws.parts.database.all("SELECT location, name, tenant FROM sources")
        known = {place: name if of == tenant.id else "a source" for place, name, of in rows}
        known[str(ws.parts.folder.resolve())] = known[str(ws.parts.folder)] = "the workspace"
        self._known = sorted(known.items(), key=lambda item: -len(item[0]))

    def hidden(self, text: str) -> str:
        """``text`` without a path of the server's."""
        for place, name in self._known:
            text = text.replace(place, name)
        return text

    def without(self, value: Any) -> Any:
        """``value`` with every ``location`` in it hidden; other texts are people's own and stay as they are."""
        if isinstance(value, Mapping):
            return {
                k: self.hidden(v) if k == _LOCATION and isinstance(v, str) else self.without(v)
                for k, v in value.items()
            }
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            return [self.without(one) for one in value]
        return value
