"""The writing entries of a Bundle as one submission (http.html#trules).

All identities are resolved first: new ids, what conditions find, what a patch makes of a resource. Then references
between entries are pointed there, and all is stored in one commit, or nothing. The work grows with the number of
entries, not with its square: conditions are looked up once each, whatever number of entries repeats them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from healthsync.domains.access import Interaction, Requester
from healthsync.errors import InvalidInput, NotFound
from healthsync.exchange.ingest import Incoming, InvalidResource, Key, Known, Stored
from healthsync.exchange.interactions.conditions import Arriving, Condition, Found, one
from healthsync.exchange.interactions.patches import entry_patch
from healthsync.exchange.interactions.write import (
    Write,
    as_sent,
    deletion,
    expected_version,
    found,
)
from healthsync.exchange.offer import Offer
from healthsync.infrastructure.database import Transaction
from healthsync.standards.fhir import bundles, references
from healthsync.standards.fhir.bundles import Entry, Method, Pairs

_NEEDED = {
    Method.POST: Interaction.CREATE,
    Method.PUT: Interaction.UPDATE,
    Method.PATCH: Interaction.UPDATE,
    Method.DELETE: Interaction.DELETE,
}
_ASKED = {Method.POST: "create", Method.PUT: "update", Method.PATCH: "patch", Method.DELETE: "delete"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an entry; `stored` is None when there was nothing to delete, and `is_whole` with its content."""

    position: int
    stored: Stored | None
    is_whole: bool = True


@dataclass(slots=True)
class _Planned:
    """One entry, the resources it is about, and what is to be submitted for it, or its answer already."""

    entry: Entry
    ids: list[str] = field(default_factory=list)
    incoming: list[Incoming] = field(default_factory=list)
    answer: Answer | None = None
    same_as: _Planned | None = None
    """An earlier conditional create with the same condition, which creates what this one then finds."""

    @property
    def changes(self) -> bool:
        """Whether it is about resources that no other entry may be about: all but a create that found one."""
        return self.entry.method is not Method.POST or bool(self.incoming)


@dataclass(frozen=True, slots=True)
class RunTransaction:
    """Stores entries together."""

    write: Write
    offer: Offer

    async def __call__(self, requester: Requester, entries: Sequence[Entry]) -> dict[int, Answer]:
        """(1) authorise all, (2) look the conditions up, (3) resolve identities, (4) point the references there,
        (5) store together. Answers by position. Raises what the first bad entry deserves.
        """
        await self._authorise(requester, entries)  # (1)
        if not entries:
            return {}
        named = [(str(entry.type), entry.id) for entry in entries if entry.id is not None]
        return await self.write.until_done(named, lambda tx: self._carried_out(tx, requester, entries))

    async def _carried_out(self, tx: Transaction, requester: Requester, entries: Sequence[Entry]) -> dict[int, Answer]:
        conditional: dict[int, dict[str, tuple[str, Pairs]]] = {}
        for entry in entries:
            with _told_of(entry):
                sent = {} if _keeps_references(entry) else entry.resource or {}
                conditional[entry.position] = bundles.conditional_references(sent)
        most = self.write.most_deleted
        known = await self.write.conditions.resolve(  # (2)
            tx, requester, _conditions(entries, conditional.values()), most=most
        )
        plans = await self._plans(tx, requester, entries, known)  # (3)
        bundles.refuse_overlaps(f"{p.entry.type}/{id_}" for p in plans if p.changes for id_ in p.ids)
        links = bundles.link_map(entries, {p.entry.position: f"{p.entry.type}/{p.ids[0]}" for p in plans if p.ids})
        beside = Arriving([i.resource for p in plans for i in p.incoming if i.mode != "delete"], self.write.now())
        for plan in plans:  # (4)
            with _told_of(plan.entry):
                targets = _targets(conditional[plan.entry.position], known, beside)
                plan.incoming = [_linked(incoming, links, targets, plan.entry) for incoming in plan.incoming]
        stored = iter(await self._store(tx, requester, plans))  # (5)
        for plan in plans:
            each = [next(stored) for _ in plan.incoming]
            plan.answer = plan.answer or Answer(plan.entry.position, each[0] if each else None)
        return {plan.entry.position: _answer(plan) for plan in plans}

    async def _store(self, tx: Transaction, requester: Requester, plans: Sequence[_Planned]) -> Sequence[Stored]:
        submitted = [incoming for plan in plans for incoming in plan.incoming]
        try:
            return await self.write.submit(tx, requester, "transaction", submitted) if submitted else ()
        except InvalidResource as problem:
            raise _placed(problem, plans) from None

    async def _authorise(self, requester: Requester, entries: Sequence[Entry]) -> None:
        for resource_type, method in dict.fromkeys((str(entry.type), entry.method) for entry in entries):
            self.offer.check(resource_type, _ASKED[method])
            await self.write.authorise(requester, _NEEDED[method], resource_type)
        for resource_type in dict.fromkeys(str(entry.type) for entry in entries if entry.condition is not None):
            await self.write.authorise(requester, Interaction.SEARCH, resource_type)

    async def _plans(
        self, tx: Transaction, requester: Requester, entries: Sequence[Entry], known: Found
    ) -> list[_Planned]:
        created: dict[Condition, _Planned] = {}
        gone: set[str] = set()
        named = [(str(e.type), e.id) for e in entries if e.id is not None and self._asks_for_state(e)]
        states = await self.write.states(tx, requester, named) if named else {}
        plans = []
        for entry in sorted(entries, key=lambda entry: entry.method is not Method.DELETE):  # R4 deletes first
            plan = _Planned(entry)
            with _told_of(entry):
                match entry.method:
                    case Method.DELETE:
                        await self._plan_delete(tx, requester, plan, known, states)
                        gone.update(f"{entry.type}/{id_}" for id_ in plan.ids)
                    case Method.POST:
                        self._plan_create(plan, known, created, gone)
                    case Method.PUT:
                        await self._plan_update(tx, requester, plan, known, states)
                        _refuse_twice(plan, known, created)
                    case _:
                        await self._plan_patch(tx, requester, plan, known)
            plans.append(plan)
        return sorted(plans, key=lambda plan: plan.entry.position)

    def _asks_for_state(self, entry: Entry) -> bool:
        return entry.method is Method.DELETE or (entry.method is Method.PUT and not self.write.update_create)

    async def _plan_delete(
        self, tx: Transaction, requester: Requester, plan: _Planned, known: Found, states: Mapping[Key, Known]
    ) -> None:
        entry, if_match = plan.entry, expected_version(plan.entry.if_match, plan.entry.if_none_match)
        if entry.id is not None:
            here = await self.write.deletable_at(tx, requester, (str(entry.type), entry.id), states, if_match)
            plan.ids, here_ids = [entry.id], [entry.id] if here else []
        else:
            plan.ids = here_ids = [match.id for match in self.write.deletable(known[_asked(entry, entry.query)])]
        plan.incoming = [deletion(str(entry.type), id_, if_match) for id_ in here_ids]
        if not plan.incoming:
            plan.answer = Answer(entry.position, None)

    def _plan_create(
        self, plan: _Planned, known: Found, created: dict[Condition, _Planned], gone: Container[str]
    ) -> None:
        """`gone` are the references of what the transaction deletes, before it creates."""
        entry = plan.entry
        if entry.if_none_exist is not None:
            condition = _asked(entry, entry.if_none_exist)
            match = one(known[condition])
            if match is not None and match.reference not in gone:
                plan.ids, plan.answer = [match.id], Answer(entry.position, found(match), is_whole=False)
                return
            first = created.setdefault(condition, plan)
            if first is not plan:
                plan.ids, plan.same_as = first.ids, first
                plan.answer = Answer(entry.position, None)
                return
        resource = self.write.new(entry.resource or {})
        plan.ids, plan.incoming = [resource["id"]], [Incoming(resource, "create", is_fresh=True)]

    async def _plan_update(
        self, tx: Transaction, requester: Requester, plan: _Planned, known: Found, states: Mapping[Key, Known]
    ) -> None:
        entry, resource = plan.entry, as_sent(plan.entry.resource or {})
        if entry.id is not None:
            await self.write.check_id(tx, requester, (str(entry.type), entry.id), states)
            id_ = entry.id
        else:
            match = one(known[_asked(entry, entry.query)])
            id_ = await self.write.id_for_update(tx, requester, str(entry.type), match, resource.get("id"))
        plan.ids = [id_]
        if_match = expected_version(entry.if_match, entry.if_none_match)
        plan.incoming = [Incoming({**resource, "id": id_}, "update", if_match=if_match, keeps=True)]

    async def _plan_patch(self, tx: Transaction, requester: Requester, plan: _Planned, known: Found) -> None:
        entry, id_ = plan.entry, plan.entry.id
        if id_ is None:
            match = one(known[_asked(entry, entry.query)])
            if match is None:
                raise NotFound(f"Bundle.entry[{entry.position}]: the condition finds nothing to patch")
            id_ = match.id
        if_match = expected_version(entry.if_match, entry.if_none_match)
        after = await self.write.patched(
            tx, requester, str(entry.type), id_, entry_patch(entry.resource or {}), if_match
        )
        plan.ids = [id_]
        if isinstance(after, Stored):
            plan.answer = Answer(entry.position, after)
        else:
            plan.incoming = [after]


def _refuse_twice(plan: _Planned, known: Found, created: dict[Condition, _Planned]) -> None:
    """Two entries whose condition finds nothing yet would create what each should have updated of the other."""
    if plan.entry.id is None and not known[condition := _asked(plan.entry, plan.entry.query)]:
        if condition in created:
            told = "two entries have the same condition; send what each resource shall be once"
            raise InvalidInput(told, code="invalid")
        created[condition] = plan


def _answer(plan: _Planned) -> Answer:
    if plan.same_as is not None:
        first = _answer(plan.same_as).stored
        assert first is not None
        unchanged = Stored(first.resource_type, first.id, first.version, first.updated_at, "unchanged", first.resource)
        return Answer(plan.entry.position, unchanged)
    assert plan.answer is not None
    return plan.answer


def _asked(entry: Entry, condition: Pairs) -> Condition:
    return str(entry.type), tuple(condition)


def _conditions(
    entries: Iterable[Entry], conditional: Iterable[Mapping[str, tuple[str, Pairs]]]
) -> Iterable[Condition]:
    for entry in entries:
        if (condition := entry.condition) is not None:
            yield _asked(entry, condition)
    for wanted in conditional:
        for resource_type, pairs in wanted.values():
            yield resource_type, tuple(pairs)


def _targets(conditional: Mapping[str, tuple[str, Pairs]], known: Found, beside: Arriving) -> dict[str, str]:
    """Conditional reference -> `Type/id`; each must find one resource, in store or beside it (http.html#trules)."""
    targets = {}
    for text, (resource_type, pairs) in conditional.items():
        condition = (resource_type, tuple(pairs))
        match = one(known[condition])
        target = match.reference if match is not None else beside.one(condition)
        if target is None:
            raise InvalidInput("a conditional reference finds nothing", code="not-found")
        targets[text] = target
    return targets


@contextmanager
def _told_of(entry: Entry) -> Iterator[None]:
    """What is wrong with an entry says which one it is."""
    try:
        yield
    except InvalidInput as problem:
        problem.expression = problem.expression or f"Bundle.entry[{entry.position}]"
        raise


def _placed(problem: InvalidResource, plans: Iterable[_Planned]) -> InvalidResource:
    """The faults of a resource at its place in the Bundle, as a sender of thousands needs them."""
    place = next((p.entry.position for p in plans for i in p.incoming if i.key == problem.key), None)
    return problem if place is None else problem.inside(f"Bundle.entry[{place}].resource")


def _keeps_references(entry: Entry) -> bool:
    """A Bundle that is stored, such as a document, refers to what is inside of it and stays as it is signed."""
    return entry.type == "Bundle"


def _linked(incoming: Incoming, links: Mapping[str, str], targets: Mapping[str, str], entry: Entry) -> Incoming:
    if incoming.mode == "delete" or _keeps_references(entry):
        return incoming
    resource: dict[str, Any] = references.rewrite(references.rewrite(incoming.resource, links), targets)
    if places := bundles.unresolved(resource):
        raise InvalidInput(
            f"Bundle.entry[{entry.position}]: a reference names a urn that no entry has",
            code="not-found",
            expression=f"Bundle.entry[{entry.position}].resource.{places[0].partition('.')[2]}",
        )
    return structs.replace(incoming, resource=resource)
