"""Whether what somebody asked by still holds: for what is done some time after it was asked for."""

from __future__ import annotations

from collections.abc import Mapping

from affidavit.app.wiring import Parts
from affidavit.store.credentials import Credential, CredentialKind, Credentials
from affidavit.store.people import Tenant

_THEIR_OWN = (CredentialKind.SESSION, CredentialKind.LOOK)
"""What ends by itself, or when its owner leaves the browser: neither says that what they asked for is taken back."""


def fault(parts: Parts, tenant: Tenant, principal: str, speaker: str, proof: str, since: int) -> str:
    """Why ``principal`` can no longer be taken at the word they gave at position ``since`` by the credential ``proof``,
    ``speaker`` speaking for them; "" if they can. What they may do is another question.
    """
    with parts.database.read():
        head = parts.log.head()
        now = parts.scopes.identify(tenant.id, principal, head).principals
        if not now or parts.people.removed_since(tenant.id, principal, since):
            return f"{principal} was removed meanwhile"
        if not proof:
            return ""
        used = Credentials(parts.database).get(proof)
        if used is None or used.tenant != tenant.id:
            return "what it was asked by is not there any more"
        if why := _ended(parts, used):
            return why
        if speaker and not (
            parts.scopes.identify(tenant.id, speaker, head).principals and now & used.acts_for
        ):
            return f"{speaker} does not speak for {principal} any more"
        return ""


def _ended(parts: Parts, used: Credential) -> str:
    """Call inside a snapshot."""
    own = used.kind in _THEIR_OWN
    if used.standing:
        return "" if own or used.expires > parts.clock.now() else f"the {used.kind.value} has expired"
    said = parts.events.body(parts.events.event(used.until))
    if own and isinstance(said, Mapping) and said["by"] == used.principal:
        return ""
    return f"the {used.kind.value} was taken back"
