"""Who stands behind a command that changes what is kept: a person with a grant, or whoever sits at the machine."""

from __future__ import annotations

from affidavit.app.wiring import Parts
from affidavit.domain.access import named
from affidavit.domain.errors import AccessDeniedError
from affidavit.store.people import Tenant

OPERATOR = "operator:"


def is_operator(by: str) -> bool:
    """Whether ``by`` is ``operator:NAME``: a statement of whoever sits at the machine, on record and not proved."""
    return by.startswith(OPERATOR) and len(by) > len(OPERATOR)


def authorise(parts: Parts, tenant: Tenant, by: str, action: str) -> str:
    """``by`` as it goes on record: ``operator:NAME`` as stated, a person if they hold the grant ``action``.

    Raises AccessDeniedError.
    """
    if is_operator(by):
        return by
    who = named(by)
    with parts.database.read():
        head = parts.log.head()
        is_all = parts.scopes.identify(tenant.id, who, head).principals
        if is_all & parts.people.holders(tenant.id, action, head):
            return who
    raise AccessDeniedError(
        f"{who} may not do this in {tenant.name}",
        f"grant it: affidavit people grant {who} {action}; or state who you are: --by {OPERATOR}NAME",
    )
