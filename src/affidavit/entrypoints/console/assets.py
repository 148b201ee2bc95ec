"""Style, scripts and pictures: served under an address that holds their digest, so that a browser may keep them for ever."""

from __future__ import annotations

from importlib.resources import files

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from affidavit.domain.canonical import sha256

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"


class Assets:
    """The files in ``static/``, read once."""

    def __init__(self) -> None:
        found = (files("affidavit.entrypoints.console") / "static").iterdir()
        self._content = {f.name: f.read_bytes() for f in found if f.name.rpartition(".")[2] in _TYPES}
        # one digest for all of them: modules that import each other by relative addresses then fit together
        self._digest = sha256(b"".join(self._content[name] for name in sorted(self._content)))[:16]
        self.routes = [Route("/static/{digest}/{name}", self._serve, methods=["GET"])]

    def url(self, name: str) -> str:
        """Where ``name`` is. Raises KeyError if there is no such file."""
        self._content[name]
        return f"/static/{self._digest}/{name}"

    async def _serve(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._content:
            raise HTTPException(404)
        # a page of another version may ask this process: it is served, and asked for again the next time
        kept = _FOR_EVER if request.path_params["digest"] == self._digest else "no-store"
        headers = {"Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
        return Response(self._content[name], headers=headers, media_type=_TYPES[name.rpartition(".")[2]])
