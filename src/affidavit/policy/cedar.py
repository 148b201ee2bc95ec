"""Decides by Cedar policies. The one place that knows Cedar.

Cedar skips a rule that errors, a forbid rule too, so any error while deciding is a denial; and it knows two answers where we
need three. Policies, schema and entities are parsed once and kept: as JSON each time they cost 30 ms a decision, kept 60 µs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from cedarpy import AuthzResult, Entities, PolicySet, Schema, is_authorized, validate_policies
from cedarpy import Decision as Answer

from affidavit.domain.canonical import canonical
from affidavit.domain.decisions import Decision, Verdict, Wish
from affidavit.domain.errors import ManifestError, UsageError
from affidavit.domain.tools import CALL, Contract
from affidavit.policy import facts
from affidavit.policy.asked import asked
from affidavit.policy.possible import unconditional
from affidavit.policy.schema import cedar_schema
from affidavit.policy.statements import Statement, policy_digest, statements

_KEPT = 2_000
"""Entity sets held in memory: one for each who, what they are, and tool."""


class Cedar:
    """One policy set over one set of tools. Safe to share between threads.

    Raises ManifestError, with file and line, for a set that does not parse or does not validate: it is never loaded.
    """

    def __init__(
        self, files: Mapping[str, str], contracts: Iterable[Contract], actions: Iterable[str] = ()
    ) -> None:
        self.digest = policy_digest(files)
        self.rules: Sequence[Statement] = statements(files)
        self._contracts = {contract.key: contract for contract in contracts}
        self._kinds = {key: facts.kinds(contract) for key, contract in self._contracts.items()}
        self._told = {key: contract.as_json() for key, contract in self._contracts.items()}
        self._schema = Schema.from_json_str(json.dumps(cedar_schema(self._contracts.values(), actions)))
        text = "\n".join(rule.text for rule in self.rules)
        self._validate(text)
        self._policies = PolicySet.from_str(text)
        self._asked = asked(text)
        self._named = {f"policy{n}": rule for n, rule in enumerate(self.rules)}
        self._at_all: PolicySet | None = None
        self._entities: dict[Any, Entities] = {}
        self._sound: set[tuple[str, str, tuple[int, frozenset[str]]]] = set()

    def _validate(self, text: str) -> None:
        found = validate_policies(text, self._schema)
        if found.validation_passed:
            return
        first = found.errors[0]
        rule = next((r for n, r in enumerate(self.rules) if f"policy{n}" == first.policy_id), None)
        where = "the policies" if rule is None else f"{rule.where}: {rule.id}"
        said = first.error.replace(f"for policy `{first.policy_id}`, ", "")
        raise ManifestError(
            f"{where}: {said}", "docs/explanation/policy.md lists what a rule may speak of; ask `has` first"
        )

    def decide(self, wish: Wish, tenant: str) -> Decision:
        """What the rules say to ``wish``; ``tenant`` is its tenant's name. Whatever goes wrong is a denial."""
        try:
            return self._decide(*self._request(wish, tenant))
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            return self._denied(str(error) or type(error).__name__)
        except UsageError as error:
            return self._denied(error.message)

    def _decide(self, request: dict[str, Any], entities: Entities) -> Decision:
        answer = self._ask(request, entities)
        said, found = answer.decision, answer.diagnostics
        errors = found.errors
        if errors or said is Answer.NoDecision:
            return self._denied(*(self._said(e) for e in errors or ["Cedar did not decide"]))
        rules = sorted((self._named[id] for id in found.reasons), key=_by_id)
        cited = tuple([rule.id for rule in rules])
        if said is Answer.Allow:
            return Decision(Verdict.PERMIT, cited, self.digest)
        roles = sorted({rule.approval for rule in rules})
        if not rules or "" in roles:
            return Decision(Verdict.FORBID, cited, self.digest)
        context = {**request["context"], "approved": sorted({*request["context"]["approved"], *roles})}
        supposed = self._ask({**request, "context": context}, entities)
        if supposed.diagnostics.errors or supposed.decision is not Answer.Allow:
            return Decision(Verdict.FORBID, cited, self.digest)
        return Decision(Verdict.NEEDS_APPROVAL, cited, self.digest, tuple(roles))

    def _ask(self, request: dict[str, Any], entities: Entities) -> AuthzResult:
        """Cedar's answer, told what some rule asks about.

        A request is validated with the schema once for each shape (who's kind, action, names there are): what the values of a
        shape are is settled before, type by type, and validating costs a third of a decision.
        """
        context = request["context"]
        names = len(context), frozenset(context.get("arguments", ()))
        shape = request["principal"]["type"], request["action"]["id"], names
        schema = None if shape in self._sound else self._schema
        if schema is None and self._asked is not None:
            context = {name: value for name, value in context.items() if name in self._asked}
        told = {**request, "context": json.dumps(context, separators=(",", ":"))}
        answer = is_authorized(told, self._policies, entities, schema)
        if schema is not None and answer.decision is not Answer.NoDecision:
            if len(self._sound) >= _KEPT:
                self._sound.clear()
            self._sound.add(shape)
        return answer

    def _said(self, error: str) -> str:
        """Cedar's words, with our names of rules for its own."""
        for id, rule in self._named.items():
            error = error.replace(f"`{id}`", f"`{rule.id}`")
        return error

    def _denied(self, *errors: str) -> Decision:
        return Decision(Verdict.FORBID, (), self.digest, errors=errors)

    # -- what Cedar is asked

    def _request(self, wish: Wish, tenant: str) -> tuple[dict[str, Any], Entities]:
        principal = facts.uid(tenant, wish.principal)
        if wish.action == CALL:
            contract = self._contract(wish)
            action, resource = contract.key, {"type": "Tool", "id": contract.key}
            context = facts.calling(tenant, wish.context, contract, self._kinds[contract.key])
        else:
            action, resource = wish.action, {"type": "Tenant", "id": tenant}
            context = facts.circumstances(tenant, wish.context)
        request = {
            "principal": principal,
            "action": {"type": "Action", "id": action},
            "resource": resource,
            "context": context,
        }
        return request, self._known(wish, tenant)

    def _contract(self, wish: Wish) -> Contract:
        contract = self._contracts.get(wish.resource)
        if contract is None:
            raise ValueError(f"the policy knows no tool {wish.resource}")
        told = self._told[contract.key]
        if any(told.get(name) != value for name, value in wish.attributes.items()):
            raise ValueError(f"{wish.resource} is not the contract that the policy knows")
        return contract

    def _known(self, wish: Wish, tenant: str) -> Entities:
        person = wish.context.get("person")
        tags = canonical(person) if person else b""
        key = (tenant, wish.principal, wish.principals, wish.roles, wish.resource, tags)
        found = self._entities.get(key)
        if found is None:
            there = facts.people(tenant, wish)
            if wish.action == CALL:
                there.append(facts.tool(tenant, self._contracts[wish.resource]))
            found = Entities.from_json_str(json.dumps(list(_once(there))), self._schema)
            if len(self._entities) >= _KEPT:
                self._entities.clear()
            self._entities[key] = found
        return found

    # -- what can be at all

    def possible(self, wish: Wish, tenant: str) -> bool:
        """Whether the rules could permit ``wish`` with some arguments, or after some yes: False where they would forbid it
        whatever they were. Who asks, the tool, mode and time are as they are."""
        if self._at_all is None:
            self._at_all = unconditional(self.rules)
        try:
            self._contract(wish)
            request = {
                "principal": facts.uid(tenant, wish.principal),
                "action": {"type": "Action", "id": wish.resource},
                "resource": {"type": "Tool", "id": wish.resource},
                "context": json.dumps(facts.circumstances(tenant, wish.context)),
            }
            answer = is_authorized(request, self._at_all, self._known(wish, tenant), None)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError, UsageError):
            return False  # so would be the decision
        return answer.decision is Answer.Allow and not answer.diagnostics.errors

    # -- for tests of policies

    def matcher(self, rule: Statement) -> Callable[[Wish, str], bool]:
        """Whether ``rule`` alone applies to a wish: what Cedar does not tell of permit rules that a forbid rule overrode."""
        text = rule.text if rule.effect == "permit" else f"{rule.text}\npermit (principal, action, resource);"
        alone = PolicySet.from_str(text)
        wanted = Answer.Allow if rule.effect == "permit" else Answer.Deny

        def matches(wish: Wish, tenant: str) -> bool:
            request, entities = self._request(wish, tenant)
            answer = is_authorized(request, alone, entities, self._schema)
            return answer.decision is wanted and not answer.diagnostics.errors

        return matches


def _once(entities: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return {(e["uid"]["type"], e["uid"]["id"]): e for e in entities}.values()


_by_id = attrgetter("id")
