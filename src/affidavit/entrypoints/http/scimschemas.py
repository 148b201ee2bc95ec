"""What SCIM clients ask first: what is supported, which resources there are, and their attributes (RFC 7643, 5 to 7)."""

from __future__ import annotations

from typing import Any

_BASE = "/scim/v2"
_CORE = "urn:ietf:params:scim:schemas:core:2.0:"


def _attribute(name: str, kind: str = "string", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "multiValued": False,
        "description": more.pop("description", name),
        "required": False,
        "mutability": "readWrite",
        "returned": "default",
        **({"caseExact": False, "uniqueness": "none"} if kind == "string" else {}),
        **more,
    }


CONFIG: dict[str, Any] = {
    "schemas": [_CORE + "ServiceProviderConfig"],
    "patch": {"supported": True},
    "bulk": {"supported": False, "maxOperations": 0, "maxPayloadSize": 0},
    "filter": {"supported": True, "maxResults": 200},
    "changePassword": {"supported": False},
    "sort": {"supported": False},
    "etag": {"supported": False},
    "authenticationSchemes": [
        {
            "type": "oauthbearertoken",
            "name": "API key",
            "description": "Authorization: Bearer aff_key_…, of a service that may people:change",
            "primary": True,
        }
    ],
    "meta": {"resourceType": "ServiceProviderConfig", "location": f"{_BASE}/ServiceProviderConfig"},
}


def _resource_type(name: str) -> dict[str, Any]:
    return {
        "schemas": [_CORE + "ResourceType"],
        "id": name,
        "name": name,
        "endpoint": f"/{name}s",
        "description": f"{name}s of one tenant",
        "schema": _CORE + name,
        "meta": {"resourceType": "ResourceType", "location": f"{_BASE}/ResourceTypes/{name}"},
    }


def _schema(name: str, attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "schemas": [_CORE + "Schema"],
        "id": _CORE + name,
        "name": name,
        "description": f"What is kept of a {name.lower()}",
        "attributes": attributes,
        "meta": {"resourceType": "Schema", "location": f"{_BASE}/Schemas/{_CORE}{name}"},
    }


def _reference(name: str, description: str, mutability: str) -> dict[str, Any]:
    parts = [
        _attribute("value", mutability="immutable", description="the id"),
        _attribute("$ref", "reference", mutability="immutable", referenceTypes=["User", "Group"]),
        _attribute("display", mutability="readOnly"),
        _attribute("type", mutability="immutable", canonicalValues=["User", "Group"]),
    ]
    return _attribute(
        name, "complex", multiValued=True, description=description, mutability=mutability, subAttributes=parts
    )


RESOURCE_TYPES = [_resource_type("User"), _resource_type("Group")]
_NAME_PARTS = ("formatted", "familyName", "givenName", "middleName", "honorificPrefix", "honorificSuffix")
SCHEMAS = [
    _schema(
        "User",
        [
            _attribute(
                "userName",
                required=True,
                mutability="immutable",
                caseExact=True,
                uniqueness="server",
                description="the name in access rules and at sign-in; an address is kept in small letters",
            ),
            _attribute("name", "complex", subAttributes=[_attribute(part) for part in _NAME_PARTS]),
            *(
                _attribute(name)
                for name in ("displayName", "title", "userType", "locale", "preferredLanguage", "timezone")
            ),
            _attribute(
                "active", "boolean", description="false removes: no group, no session, no key is left"
            ),
            _attribute(
                "emails",
                "complex",
                multiValued=True,
                subAttributes=[_attribute("value"), _attribute("type"), _attribute("primary", "boolean")],
            ),
            _reference("groups", "the groups they are directly in", "readOnly"),
        ],
    ),
    _schema(
        "Group",
        [
            _attribute(
                "displayName",
                required=True,
                mutability="immutable",
                caseExact=True,
                uniqueness="server",
                description="the name in access rules",
            ),
            _reference("members", "who is directly in it", "readWrite"),
        ],
    ),
]
