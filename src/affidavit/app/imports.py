"""Tools of strangers: looked at, accepted by the digest of what was looked at, and called only while they are still that."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from affidavit.adapters import mcp_client, openapi, openapi_call
from affidavit.adapters.guarded import checked_url, client
from affidavit.app.authority import is_operator
from affidavit.app.config import check_variable
from affidavit.app.controls import ControlDesk
from affidavit.app.plainfile import open_plain
from affidavit.app.wiring import Parts
from affidavit.domain.canonical import Json
from affidavit.domain.errors import (
    AccessDeniedError,
    ManifestError,
    RefusedError,
    ToolError,
    UnknownNameError,
    UsageError,
)
from affidavit.domain.events import Event, EventKind
from affidavit.domain.foreign import Found, Offer, Offered, offer, under_contract
from affidavit.domain.tools import Contract
from affidavit.events.log import Transaction
from affidavit.events.read import ErasedBody
from affidavit.gateway.contracts import Callee, Context, Registry
from affidavit.store.controls import EVERYWHERE
from affidavit.store.imports import Accepted, Imports
from affidavit.store.people import Tenant

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")
_SECONDS = 30.0
_OF_THE_TIME = 0.9  # so that it is we who say that there was no answer, while the gateway still listens
_LARGEST_SAYS = 200_000
Says = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class ForeignTool:
    """A tool of somebody else's, as the gateway calls it: only while ``accepted`` still stands."""

    parts: Parts
    accepted: Accepted
    offer: Offer
    tool: Offered

    @property
    def contract(self) -> Contract:
        return self.tool.contract

    def run(self, arguments: Mapping[str, Json], context: Context) -> Json:
        """Ask the other side. Raises ToolError."""
        if self.accepted not in Imports(self.parts.database).all():
            raise ToolError(
                f"the import {self.accepted.name} was removed or changed", "affidavit tool import list"
            )
        place, plan, schema = self.offer.place, self.tool.plan, self.contract.parameters
        seconds = context.seconds * _OF_THE_TIME
        if self.offer.kind == "mcp":
            return mcp_client.call(place, plan, self.tool.pin, schema, arguments, seconds, context.secrets)
        return openapi_call.call(place, plan, schema, arguments, context.key, seconds, context.secrets)

    def check(self, arguments: Mapping[str, Json], context: Context) -> tuple[bool, Json]:
        raise UsageError(f"{self.contract.key} cannot be asked what became of a call")


def imported(parts: Parts) -> list[Callee]:
    """The tools of every import in use. Raises RefusedError if one is not what was accepted."""
    return [
        ForeignTool(parts, accepted, content, tool)
        for accepted in Imports(parts.database).all()
        for content in [_content(parts, accepted)]
        for tool in content.tools
    ]


def _content(parts: Parts, accepted: Accepted) -> Offer:
    with parts.database.read():
        body = parts.events.body(parts.events.event(accepted.since))
    content = None if isinstance(body, ErasedBody) else offer(body["content"])
    if content is None or content.digest != accepted.digest:
        raise RefusedError(
            f"the import {accepted.name} is not what was accepted",
            "`affidavit audit verify`; then import it again",
        )
    return content


def read_says(path: Path | None) -> Says:
    """What the operator says about tools: a table a tool in a TOML file. Raises ManifestError."""
    if path is None:
        return {}
    hint = '[create_ticket]\neffect = "write"\nidempotency = "native"\ndata = ["text"]'
    try:
        with open_plain(path) as file:
            found = tomllib.loads(file.read(_LARGEST_SAYS).decode("utf-8"))
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", "check the path") from error
    except ValueError as error:
        raise ManifestError(f"{path}: not TOML: {error}", hint) from error
    if not all(isinstance(one, dict) for one in found.values()):
        raise ManifestError(f"{path} holds more than a table for each tool", hint)
    return found


class ImportDesk:
    """Looks at what others offer and accepts it. ``by`` is ``operator:NAME``: an import is every tenant's, and may start a
    program on this machine."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._imports = Imports(parts.database)

    # -- looking; nothing is kept

    def mcp(
        self,
        tenant: Tenant,
        name: str,
        *,
        command: str = "",
        url: str = "",
        private: bool = False,
        secret: str = "",
        variable: str = "",
        says: Says | None = None,
    ) -> Offer:
        """What an MCP server offers: one that ``command`` starts here, or one at ``url``. The credential ``secret`` is put into
        the environment ``variable`` of the one, or is the other's bearer token. Raises UsageError."""
        if bool(command) == bool(url):
            raise UsageError("where is the server?", "--command 'PROGRAM ARGUMENT…' or --url https://…")
        if bool(variable) != bool(secret and command):
            raise UsageError(
                "a program is given its credential in a variable", "--secret NAME --variable VARIABLE"
            )
        if command:
            if variable:
                check_variable(variable, "--variable")
            place: dict[str, Json] = {"command": list(_words(command)), "secret": secret, "auth": variable}
        else:
            _encrypted(url, private, secret)
            place = {"url": checked_url(url), "private": private, "secret": secret, "auth": "bearer"}
        found, left_out = mcp_client.found_at(place, self._secrets(tenant, secret))
        return self._offer(name, "mcp", place, found, left_out, says or {})

    def openapi(
        self,
        name: str,
        document: str,
        *,
        base: str,
        private: bool = False,
        secret: str = "",
        auth: str = "",
        says: Says | None = None,
    ) -> Offer:
        """What an OpenAPI document (a file, or a web address) describes, at ``base``. ``auth``: ``bearer``, ``basic``, or the
        header that the credential ``secret`` travels in; as the document says by default. Raises UsageError."""
        content = openapi.parse(_document(document, private))
        auth = auth or openapi.auth_in(content)
        if auth not in ("bearer", "basic") and not openapi.is_header(auth):
            raise UsageError(
                f"{auth[:40]!r} is no header for a credential", "--auth bearer, basic, or X-Api-Key"
            )
        place: dict[str, Json] = {
            "document": document,
            "base": checked_url(base, "--base"),
            "private": private,
            "secret": secret,
            "auth": auth,
        }
        _encrypted(str(place["base"]), private, secret)
        found, left_out = openapi.found_in(content)
        return self._offer(name, "openapi", place, found, left_out, says or {})

    def _offer(
        self,
        name: str,
        kind: str,
        place: Mapping[str, Json],
        found: Sequence[Found],
        left_out: Sequence[tuple[str, str]],
        says: Says,
    ) -> Offer:
        if not _NAME.match(name):
            raise UsageError(f"{name[:40]!r} is no name for an import", "lower case, digits and _: `crm`")
        words = [one.word for one in found]
        unknown = set(says) - set(words)
        if unknown:
            raise UsageError(
                f"there is no tool {', '.join(sorted(unknown))}", f"found: {', '.join(words)[:500]}"
            )
        out = list(left_out)
        tools: list[Offered] = []
        secrets = (str(place["secret"]),) if place["secret"] else ()
        for one in found:
            said = says.get(one.word, {})
            if words.count(one.word) > 1:
                out.append((one.word, "two tools are called that"))
            elif said.get("use") is False:
                out.append((one.word, "the operator does not want it"))
            else:
                made = under_contract(one, name, kind, secrets, said)
                try:
                    Registry(
                        [ForeignTool(self._parts, Accepted(name, "", 0), Offer(name, kind, place, ()), made)]
                    )
                    tools.append(made)
                except UsageError as error:
                    out.append((one.word, error.message))
        return Offer(name, kind, place, tuple(self._counted(name, tools)), tuple(out))

    def _counted(self, name: str, tools: Sequence[Offered]) -> list[Offered]:
        """With versions: a tool that is not what it was counts one up, so that no rule for the old one speaks of it."""
        before = self._imports.newest(name)
        known = {t.contract.name: t for t in _content(self._parts, before).tools} if before else {}
        out = []
        for one in tools:
            last = known.get(one.contract.name)
            version = last.contract.version if last else 1
            same = replace(one, contract=replace(one.contract, version=version))
            if last and same.as_json() != last.as_json():
                same = replace(one, contract=replace(one.contract, version=version + 1))
            out.append(same)
        return out

    def _secrets(self, tenant: Tenant, secret: str) -> Mapping[str, str]:
        return ControlDesk(self._parts).values(tenant.id, [secret]) if secret else {}

    # -- accepting

    def accept(self, found: Offer, digest: str, by: str) -> Accepted:
        """Use ``found`` from now on, which has the ``digest`` that somebody looked at. Raises RefusedError, AccessDeniedError."""
        if len(digest) < 12 or not found.digest.startswith(digest):
            raise RefusedError(
                f"what is there now is {found.digest[:16]}, which is not what you accept",
                "leave --accept out and look at it again",
            )
        if not found.tools:
            raise UsageError(f"{found.name} offers no tool that can be used", "what was left out says why")
        _operator(by)

        def write(tx: Transaction) -> Accepted:
            body: dict[str, Json] = {"name": found.name, "by": by, "content": found.as_json()}
            facts: dict[str, int | str] = {"subject": found.digest, "change": "accepted"}
            position = tx.append(Event(EventKind.IMPORT_CHANGED, EVERYWHERE, facts=facts, body=body))
            accepted = Accepted(found.name, found.digest, position)
            self._imports.accept(accepted)
            return accepted

        return self._parts.log.write(write)

    def remove(self, name: str, by: str) -> None:
        """Use it no more, from the next call on in every process. Raises UnknownNameError."""
        accepted = self._named(name)
        _operator(by)

        def write(tx: Transaction) -> None:
            facts: dict[str, int | str] = {"subject": accepted.digest, "change": "removed"}
            body = {"name": name, "by": by}
            self._imports.remove(
                name, tx.append(Event(EventKind.IMPORT_CHANGED, EVERYWHERE, facts=facts, body=body))
            )

        self._parts.log.write(write)

    def all(self) -> list[Offer]:
        """What is in use."""
        return [_content(self._parts, accepted) for accepted in self._imports.all()]

    def check(self, tenant: Tenant, name: str) -> list[str]:
        """What is no longer as it was accepted, in words; nothing is changed by asking. Raises UnknownNameError."""
        kept = _content(self._parts, self._named(name))
        place: Any = kept.place
        if kept.kind == "mcp":
            found, _ = mcp_client.found_at(place, self._secrets(tenant, place["secret"]))
        else:
            found, _ = openapi.found_in(openapi.parse(_document(place["document"], place["private"])))
        now = {one.word: one.pin for one in found}
        before = {tool.contract.name.partition(".")[2]: tool.pin for tool in kept.tools}
        return [
            *(f"{name}.{word} was changed" for word in before if word in now and now[word] != before[word]),
            *(f"{name}.{word} is gone" for word in before if word not in now),
        ]

    def _named(self, name: str) -> Accepted:
        found = [one for one in self._imports.all() if one.name == name]
        if not found:
            raise UnknownNameError(
                f"there is no import {name[:40]!r}", "`affidavit tool import list` shows them"
            )
        return found[0]


def _operator(by: str) -> None:
    if not is_operator(by):
        raise AccessDeniedError(f"{by} may not import tools", "at the machine: --by operator:NAME")


def _encrypted(url: str, private: bool, secret: str) -> None:
    if secret and not private and url.startswith("http://"):
        raise UsageError(
            "a credential does not travel unencrypted", "https://…, or --allow-private for your own network"
        )


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--command: {error}", "quote it as for a shell; no shell runs it") from error
    if not words:
        raise UsageError("--command is empty", "--command 'PROGRAM ARGUMENT…'")
    return words


def _document(where: str, private: bool) -> bytes:
    """The bytes of a file, or of a web address. Raises UsageError."""
    if not where.startswith(("http://", "https://")):
        try:
            with open_plain(Path(where)) as file:
                return file.read(openapi.LARGEST + 1)
        except OSError as error:
            raise UsageError(f"{where} cannot be read: {error.strerror}", "a file, or https://…") from error
    import httpx  # noqa: PLC0415  # 0.1 s that only this needs

    try:
        with client(private, _SECONDS) as asked:
            answer = asked.get(checked_url(where))
    except httpx.HTTPError as error:
        raise UsageError(
            f"the document cannot be fetched: {error}", "or save it and give the file"
        ) from error
    if not answer.is_success:
        raise UsageError(
            f"the document cannot be fetched: HTTP {answer.status_code}", "redirects are not followed"
        )
    return answer.content
