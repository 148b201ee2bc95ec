"""SCIM 2.0 (RFC 7643, RFC 7644): a directory keeps people and groups up to date here. Whoever calls needs `people:change`."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from affidavit.app.noting import note
from affidavit.app.operations.operation import Caller, check
from affidavit.app.operations.people import check_gain
from affidavit.app.people import REFUSED
from affidavit.app.provisioning import GROUP, NAME, USER, ProvisionDesk, Resource, as_name
from affidavit.app.scimpatch import filtered
from affidavit.app.workspace import Workspace
from affidavit.domain.errors import (
    AffidavitError,
    ForbiddenError,
    ProvisioningError,
    UnknownNameError,
    UsageError,
)
from affidavit.entrypoints.http.admission import Admission
from affidavit.entrypoints.http.problems import status_of
from affidavit.entrypoints.http.scimschemas import CONFIG, RESOURCE_TYPES, SCHEMAS
from affidavit.store.people import Tenant

ACTION = "people:change"
BASE = "/scim/v2"
MEDIA_TYPE = "application/scim+json"
LARGEST = 8_000_000
"""Bytes of a request: a group's members."""
MOST = 200
_LIST = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
_PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_FIXED: Mapping[str, list[dict[str, Any]]] = {"ResourceTypes": RESOURCE_TYPES, "Schemas": SCHEMAS}
Work = Callable[[ProvisionDesk, Tenant, Mapping[str, str], Any], tuple[int, Any]]


class RoleGroupError(ForbiddenError):
    """A directory would change a group that comes with grants."""


class Scim:
    """The endpoints. ``who`` tells who asks, ``admission`` when it is their turn; ``role_groups`` are the groups that come
    with grants and that a directory may change all the same."""

    def __init__(
        self,
        ws: Workspace,
        who: Callable[[Request], Caller],
        admission: Admission,
        role_groups: Collection[str] = (),
    ) -> None:
        self._ws = ws
        self._who = who
        self._admission = admission
        self._role_groups = frozenset(f"group:{name}" for name in role_groups)

    def router(self) -> APIRouter:
        """Every endpoint."""
        router = APIRouter(prefix=BASE, include_in_schema=False)
        router.add_api_route(
            "/ServiceProviderConfig", self._endpoint(lambda *_: (200, CONFIG)), methods=["GET"]
        )
        for name, found in _FIXED.items():
            router.add_api_route(f"/{name}", self._endpoint(_all(found)), methods=["GET"])
            router.add_api_route(f"/{name}/{{id:path}}", self._endpoint(_one(found)), methods=["GET"])
        for kind in (USER, GROUP):
            for path, method, work in (
                ("", "GET", self._list),
                ("", "POST", self._create),
                ("/{id}", "GET", self._get),
                ("/{id}", "PUT", self._put),
                ("/{id}", "PATCH", self._patch),
                ("/{id}", "DELETE", self._delete),
            ):
                router.add_api_route(f"/{kind}s{path}", self._endpoint(work(kind)), methods=[method])
        return router

    # -- resources

    def _list(self, kind: str) -> Work:
        def work(desk: ProvisionDesk, tenant: Tenant, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
            start, count = (
                max(1, _whole(query, "startIndex", 1)),
                min(MOST, max(0, _whole(query, "count", 100))),
            )
            asked = filtered(query.get("filter", ""))
            items, total = desk.page(tenant, kind, start, count, asked, _fitting(kind, asked))
            return 200, _listed([_shown(kind, one, query) for one in items], total, start)

        return work

    def _create(self, kind: str) -> Work:
        return lambda desk, tenant, query, body: (
            201,
            _shown(kind, desk.create(tenant, kind, _object(body)), query),
        )

    def _get(self, kind: str) -> Work:
        return lambda desk, tenant, query, body: (
            200,
            _shown(kind, desk.get(tenant, kind, query["/id"]), query),
        )

    def _put(self, kind: str) -> Work:
        def work(desk: ProvisionDesk, tenant: Tenant, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
            return 200, _shown(kind, desk.replace(tenant, kind, query["/id"], _object(body)), query)

        return work

    def _patch(self, kind: str) -> Work:
        def work(desk: ProvisionDesk, tenant: Tenant, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
            said = {name.lower(): value for name, value in _object(body).items()}
            if _PATCH not in (said.get("schemas") or [_PATCH]):
                raise ProvisioningError("invalidSyntax", "this is no PatchOp", f"schemas: {_PATCH}")
            return 200, _shown(kind, desk.patch(tenant, kind, query["/id"], said.get("operations")), query)

        return work

    def _delete(self, kind: str) -> Work:
        def work(desk: ProvisionDesk, tenant: Tenant, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
            desk.delete(tenant, kind, query["/id"])
            return 204, None

        return work

    def _check_alone(self, caller: Caller) -> None:
        """Raises ForbiddenError for a person where changing people takes two: a directory's key is no way around that."""
        by_person = caller.by or not caller.principal.startswith("service:")
        if by_person and ACTION in self._ws.proposals.required(caller.tenant):
            raise ForbiddenError(
                "changing people takes two here", "change them through /v1/people, where a second confirms it"
            )

    def _desk(self, caller: Caller) -> ProvisionDesk:
        def check_group(group: str) -> None:
            with self._ws.parts.database.read():
                gives = self._ws.parts.people.gives(caller.tenant.id, group, self._ws.parts.log.head())
            if not gives:
                return
            if group not in self._role_groups:
                raise RoleGroupError(
                    f"{group} comes with grants, so a directory does not change it",
                    "a person does: /v1/people/join; or directory.role_groups names it",
                )
            if caller.by or not caller.principal.startswith("service:"):
                check_gain(self._ws, caller, group)

        return ProvisionDesk(
            self._ws.parts, caller.principal, partial(check_gain, self._ws, caller), check_group
        )

    def _done(self, work: Work, caller: Caller, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        """What ``work`` gives; on record where it would have changed who holds what."""
        try:
            return work(self._desk(caller), caller.tenant, query, body)
        except RoleGroupError as error:
            note(self._ws.parts, caller.tenant, REFUSED, caller.principal, {"why": error.message})
            raise

    # -- the wire

    def _endpoint(self, work: Work) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            try:
                caller = await run_in_threadpool(self._who, request)
                body = await _sent(request)
                query = {**request.query_params, **{f"/{k}": v for k, v in request.path_params.items()}}

                def asked() -> tuple[int, Any]:
                    check(self._ws, caller, ACTION)
                    self._check_alone(caller)
                    return self._done(work, caller, query, body)

                status, found = await self._admission.run(caller.tenant.id, asked, caller.principal)
            except AffidavitError as error:
                return _refused(error)
            headers = {"Location": found["meta"]["location"]} if status == 201 else {}
            return _answer(status, found, headers)

        return endpoint


def add_scim(
    app: FastAPI,
    ws: Workspace,
    who: Callable[[Request], Caller],
    admission: Admission,
    role_groups: Collection[str] = (),
) -> None:
    """Put the endpoints into ``app``."""
    app.include_router(Scim(ws, who, admission, role_groups).router())


def _answer(status: int, found: Any, headers: Mapping[str, str]) -> Response:
    content = b"" if found is None else json.dumps(found, ensure_ascii=False).encode()
    return Response(content, status, dict(headers), MEDIA_TYPE if content else None)


def _refused(error: AffidavitError) -> Response:
    """RFC 7644, 3.12."""
    status = status_of(error).value
    said: dict[str, Any] = {
        "schemas": [_ERROR],
        "status": str(status),
        "detail": f"{error.message}. {error.hint}",
    }
    if isinstance(error, ProvisioningError):
        said["scimType"] = error.kind
        status = 409 if error.kind == "uniqueness" else 400
        said["status"] = str(status)
    elif isinstance(error, UsageError) and status == 400:
        said["scimType"] = "invalidValue"
    headers = {"WWW-Authenticate": 'Bearer realm="affidavit"'} if status == 401 else {}
    after = getattr(error, "after", None)
    return _answer(status, said, headers if after is None else {**headers, "Retry-After": str(after)})


async def _sent(request: Request) -> Any:
    """The JSON that was sent, None if nothing was. Raises ProvisioningError."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > LARGEST:
            raise ProvisioningError("tooMany", f"a request has {LARGEST} bytes at most", "send it in parts")
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProvisioningError("invalidSyntax", "the request is not JSON", "see RFC 7644") from error


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ProvisioningError("invalidSyntax", "the request is no object", "see RFC 7644")
    return body


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    said = query.get(name, "")
    if said.removeprefix("-").isascii() and said.removeprefix("-").isdigit() and len(said) < 10:
        return int(said)
    if said:
        raise ProvisioningError("invalidValue", f"{name} is a whole number", f"{name}={default}")
    return default


def _listed(items: list[Any], total: int, start: int) -> dict[str, Any]:
    return {
        "schemas": [_LIST],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": len(items),
        "Resources": items,
    }


def _shown(kind: str, found: Resource, query: Mapping[str, str]) -> Resource:
    """A resource with its place, and without what is not asked for (RFC 7644, 3.9)."""
    whole = {**found, "meta": {"resourceType": kind, "location": f"{BASE}/{kind}s/{found['id']}"}}
    always = ("schemas", "id", "meta")
    wanted = _names(query.get("attributes", ""))
    unwanted = _names(query.get("excludedAttributes", ""))
    return {
        k: v
        for k, v in whole.items()
        if k in always or ((not wanted or k.lower() in wanted) and k.lower() not in unwanted)
    }


def _names(said: str) -> set[str]:
    return {
        name.rpartition(":")[2].partition(".")[0].strip().lower() for name in said.split(",") if name.strip()
    }


def _fitting(kind: str, asked: list[tuple[str, str]]) -> Callable[[Resource], bool]:
    """Whether a resource is as a filter asks. Raises ProvisioningError for an attribute that cannot be asked for."""
    lists = {"emails": "value", "emails.value": "value", "members": "value", "members.value": "value"}
    plain = ("id", "externalid", "username", "displayname", "active", "title", "usertype")
    for name, _ in asked:
        if name not in plain and name not in lists:
            raise ProvisioningError(
                "invalidFilter", f"{name[:100]} cannot be asked for", f"one of: {', '.join(plain)}"
            )

    def one(found: Resource, name: str, value: str) -> bool:
        if name in lists:
            return any(str(e.get(lists[name])) == value for e in found.get(name.partition(".")[0], ()))
        if name == NAME[kind].lower():
            return bool(found[NAME[kind]] == as_name(value))
        said = next((v for k, v in found.items() if k.lower() == name), "")
        return (str(said).lower() if isinstance(said, bool) else said) == value

    return lambda found: all(one(found, name, value) for name, value in asked)


def _all(found: list[dict[str, Any]]) -> Work:
    return lambda *_: (200, _listed(found, len(found), 1))


def _one(found: list[dict[str, Any]]) -> Work:
    def work(desk: ProvisionDesk, tenant: Tenant, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        for one in found:
            if one["id"] == query["/id"]:
                return 200, one
        raise UnknownNameError("there is no such thing", "list them to see what there is")

    return work
