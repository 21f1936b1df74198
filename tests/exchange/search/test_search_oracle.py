"""Search over sealed storage finds exactly what a look at every plain document finds: no row more, none less."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from healthsync.domains.audit import Action
from healthsync.exchange.authenticate import Requester
from healthsync.exchange.ingest import Incoming, Submission, submission_audit
from healthsync.standards.fhir import json, matching, search_parameters
from healthsync.standards.fhir.criteria import Chain, Has
from healthsync.standards.fhir.query import parse
from healthsync.standards.fhir.references import parse as parse_reference

ADMIN = Requester("tester", ("admin",), "TREAT")
NOW = datetime(2026, 11, 27, tzinfo=UTC)

_WORDS = ["Ána", "anna", "Annabel", "Jo", "John", "Jöhn", "de la Cruz", "Li", "O'Brien", "smith", "Smithers", "Ng"]
_CODES = [("http://loinc.org", "8480-6"), ("http://loinc.org", "718-7"), ("urn:local", "718-7"), (None, "718-7")]
_DATES = ["1970", "1970-02", "1970-02-03", "1999-12-31T23:59:59Z", "2000-01-01T00:00:00+02:00", "2020-02-29", "2021-05"]
_UNITS = [("http://unitsofmeasure.org", "mg", "mg"), ("http://unitsofmeasure.org", "g", "g"), (None, None, "mg"),
          ("urn:u", "mg", "milligram"), (None, None, None)]  # fmt: skip
_NUMBERS = ["5", "5.0", "5.40", "5000", "0.0054", "-3", "120.5", "100"]

names = st.builds(
    lambda family, given: {"family": family, "given": given},
    st.sampled_from(_WORDS),
    st.lists(st.sampled_from(_WORDS), min_size=1, max_size=2),
)


@st.composite
def patients(draw, id_: str) -> dict:
    patient: dict = {"resourceType": "Patient", "id": id_}
    if draw(st.booleans()):
        patient["name"] = draw(st.lists(names, min_size=1, max_size=2))
    if draw(st.booleans()):
        patient["gender"] = draw(st.sampled_from(["male", "female", "other"]))
    if draw(st.booleans()):
        patient["birthDate"] = draw(st.sampled_from(["1970", "1970-02", "1970-02-03", "2001-01-01"]))
    if draw(st.booleans()):
        patient["identifier"] = [{"system": draw(st.sampled_from(["urn:a", "urn:b"])), "value": draw(st.sampled_from(["1", "2", "A,B"])),
                                  "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}}]  # fmt: skip
    if draw(st.booleans()):
        patient["telecom"] = [
            {"system": draw(st.sampled_from(["phone", "email"])), "value": draw(st.sampled_from(["555", "x@y.org"]))}
        ]
    return patient


def _concept(draw) -> dict:
    system, code = draw(st.sampled_from(_CODES))
    coding = {"code": code} | ({"system": system} if system else {})
    if draw(st.booleans()):
        coding["display"] = draw(st.sampled_from(["Systolic blood pressure", "Hemoglobin in Blood"]))
    return {"coding": [coding]}


def _quantity(draw) -> dict:
    from decimal import Decimal

    system, code, unit = draw(st.sampled_from(_UNITS))
    quantity: dict = {"value": Decimal(draw(st.sampled_from(_NUMBERS)))}
    quantity |= {k: v for k, v in (("system", system), ("code", code), ("unit", unit)) if v}
    if draw(st.integers(0, 5)) == 0:
        quantity["comparator"] = draw(st.sampled_from(["<", ">", "<=", ">="]))
    return quantity


@st.composite
def observations(draw, id_: str, patient_ids: list[str]) -> dict:
    observation: dict = {
        "resourceType": "Observation",
        "id": id_,
        "status": draw(st.sampled_from(["final", "amended"])),
        "code": _concept(draw),
    }
    observation["subject"] = {"reference": f"Patient/{draw(st.sampled_from(patient_ids))}"}
    if draw(st.booleans()):
        observation["effectiveDateTime"] = draw(st.sampled_from(_DATES))
    elif draw(st.booleans()):
        observation["effectivePeriod"] = {"start": draw(st.sampled_from(_DATES[:3]))} | (
            {"end": draw(st.sampled_from(_DATES[4:]))} if draw(st.booleans()) else {}
        )
    kind = draw(st.integers(0, 3))
    if kind == 0:
        observation["valueQuantity"] = _quantity(draw)
    elif kind == 1:
        observation["valueString"] = draw(st.sampled_from(_WORDS))
    elif kind == 2:
        observation["component"] = [
            {"code": _concept(draw), "valueQuantity": _quantity(draw)} for _ in range(draw(st.integers(1, 2)))
        ]
    if draw(st.booleans()):
        observation["note"] = [{"text": draw(st.sampled_from(["patient felt well", "Blood drawn twice", "well"]))}]
    return observation


@st.composite
def worlds(draw) -> list[dict]:
    patient_ids = ["p1", "p2", "p3"]
    resources = [draw(patients(id_)) for id_ in patient_ids]
    resources += [draw(observations(f"o{n}", patient_ids)) for n in range(draw(st.integers(3, 8)))]
    return resources


def _queries() -> st.SearchStrategy[tuple[str, str]]:
    prefix = st.sampled_from(["", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"])
    word = st.sampled_from([*_WORDS, "an", "ann", "smi", "ohn", "x", "O'B"])
    code = st.sampled_from(
        ["718-7", "8480-6", "http://loinc.org|718-7", "urn:local|718-7", "|718-7", "http://loinc.org|", "718-7,8480-6"]
    )
    number = st.sampled_from([*_NUMBERS, "5.4", "5e3", "5.40e-3"])
    unit = st.sampled_from(
        ["", "|http://unitsofmeasure.org|mg", "|http://unitsofmeasure.org|g", "||mg", "|urn:u|mg", "||milligram"]
    )
    quantity = st.builds(lambda p, n, u: p + n + u, prefix, number, unit)
    day = st.sampled_from([*_DATES, "1970-02-03", "2020"])
    date = st.builds(lambda p, d: p + d.replace("+", "%2B"), prefix, day)
    pair = [
        st.builds(lambda p, w, m: ("Patient", f"{p}{m}={w}"), st.sampled_from(["name", "family", "given"]), word, st.sampled_from(["", ":exact", ":contains"])),
        st.builds(lambda d: ("Patient", f"birthdate={d}"), date),
        st.builds(lambda v: ("Patient", f"gender={v}"), st.sampled_from(["male", "female", "male,other", "http://hl7.org/fhir/administrative-gender|male"])),
        st.builds(lambda v: ("Patient", f"gender:not={v}"), st.sampled_from(["male", "female"])),
        st.builds(lambda v: ("Patient", f"identifier={v}"), st.sampled_from(["1", "urn:a|1", "urn:a|", "|1", "A\\,B", "urn:b|2,urn:a|1"])),
        st.builds(lambda v: ("Patient", f"identifier:of-type={v}"), st.sampled_from(["http://terminology.hl7.org/CodeSystem/v2-0203|MR|1"])),
        st.builds(lambda n, v: ("Patient", f"{n}:missing={v}"), st.sampled_from(["name", "birthdate", "gender", "telecom", "phone", "identifier"]), st.sampled_from(["true", "false"])),
        st.builds(lambda v: ("Patient", f"phone={v}"), st.sampled_from(["555", "x@y.org"])),
        st.builds(lambda w: ("Patient", f"phonetic={w}"), word),
        st.builds(lambda w: ("Patient", f"_has:Observation:patient:code={w}"), code),
        st.builds(lambda w: ("Patient", f"_has:Observation:subject:value-quantity={w}"), quantity),
        st.builds(lambda c: ("Observation", f"code={c}"), code),
        st.builds(lambda c: ("Observation", f"combo-code={c}"), code),
        st.builds(lambda c: ("Observation", f"code:not={c}"), code),
        st.builds(lambda c: ("Observation", f"code:text={c}"), st.sampled_from(["blood", "systolic", "hemoglobin in"])),
        st.builds(lambda d: ("Observation", f"date={d}"), date),
        st.builds(lambda q: ("Observation", f"value-quantity={q}"), quantity),
        st.builds(lambda q: ("Observation", f"combo-value-quantity={q}"), quantity),
        st.builds(lambda c, q: ("Observation", f"code-value-quantity={c}${q}"), st.sampled_from(["718-7", "http://loinc.org|8480-6"]), quantity),
        st.builds(lambda c, q: ("Observation", f"component-code-value-quantity={c}${q}"), st.sampled_from(["718-7", "http://loinc.org|8480-6"]), quantity),
        st.builds(lambda c, q: ("Observation", f"combo-code-value-quantity={c}${q}"), st.sampled_from(["718-7", "http://loinc.org|8480-6"]), quantity),
        st.builds(lambda w: ("Observation", f"value-string={w}"), word),
        st.builds(lambda w, m: ("Observation", f"subject:Patient.name{m}={w}"), word, st.sampled_from(["", ":contains"])),
        st.builds(lambda w: ("Observation", f"patient.gender={w}"), st.sampled_from(["male", "female"])),
        st.builds(lambda d: ("Observation", f"patient.birthdate={d}"), date),
        st.builds(lambda p: ("Observation", f"patient={p}"), st.sampled_from(["p1", "Patient/p2", "p1,p3", "Patient/p9"])),
        st.builds(lambda n, v: ("Observation", f"{n}:missing={v}"), st.sampled_from(["date", "value-quantity", "value-string", "component-code", "subject"]), st.sampled_from(["true", "false"])),
        st.builds(lambda w: ("Observation", f"_content={w}"), st.sampled_from(["well", "blood", "felt well", '"felt well"', "blood OR felt"])),
        st.builds(lambda w: ("Observation", f"_filter={w}"), st.sampled_from(['code eq 718-7', 'not (status eq "final")', "code eq 718-7 or date ge 2000-01-01", 'value-string co "oh"', "date pr true"])),
        st.builds(lambda i: ("Observation", f"_id={i}"), st.sampled_from(["o0", "o1,o2", "zz"])),
    ]  # fmt: skip
    one = st.one_of(pair)
    return st.one_of(
        one,
        st.tuples(one, one)
        .filter(lambda two: two[0][0] == two[1][0])
        .map(lambda two: (two[0][0], f"{two[0][1]}&{two[1][1]}")),
    )


async def _store(hub, resources: list[dict]) -> None:
    async with hub.database.transaction() as tx:
        tables = await tx.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename ~ '^(resource|index|identity|consent)' AND tablename !~ 'event|identity_task|identity_model'"
        )
        await tx.execute("TRUNCATE " + ", ".join(row[0] for row in tables))
        incoming = [Incoming(resource, "update") for resource in resources]
        await hub.ingest(tx, Submission("tester", incoming, submission_audit(Action.EXECUTE, "test")))


def _oracle(world: list[dict], resource_type: str, query: str) -> set[str]:
    """Look at every document; chains by following references by hand."""
    asked = parse(resource_type, parse_qsl(query, keep_blank_values=True))

    def holds(node, document) -> bool:
        def elsewhere(inner) -> bool:
            match inner:
                case Chain(parameter=parameter, inner=branches):
                    values = search_parameters.index(document, whole=True)
                    targets = {t for path, t in values.references if path in parameter.paths}
                    return any(
                        f"{other['resourceType']}/{other['id']}" in targets
                        and other["resourceType"] == kind
                        and holds(rest, other)
                        for other in world
                        for kind, rest in branches
                    )
                case Has(type=kind, parameter=parameter, inner=rest):
                    me = f"{document['resourceType']}/{document['id']}"
                    return any(
                        other["resourceType"] == kind
                        and any(
                            path in parameter.paths and parse_reference(t).target == me
                            for path, t in search_parameters.index(other).references
                        )
                        and holds(rest, other)
                        for other in world
                    )
            raise AssertionError(inner)

        return matching.satisfies(
            node, document, search_parameters.index(document, whole=True), NOW, elsewhere=elsewhere
        )

    return {
        document["id"]
        for document in world
        if document["resourceType"] == resource_type and all(holds(node, document) for node in asked.criteria)
    }


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    deadline=None,
    max_examples=25,
    phases=(Phase.explicit, Phase.generate),
)
@given(world=worlds(), queries=st.lists(_queries(), min_size=12, max_size=12))
async def test_search_finds_what_a_look_at_every_document_finds(hub, world, queries):
    await _store(hub, world)
    for resource_type, query in queries:
        asked = parse(resource_type, parse_qsl(query, keep_blank_values=True))
        page = await hub.disclose.search(ADMIN, asked, after=None, count=50, asked=query)
        found = [entry.id for entry in page.entries]
        expected = _oracle(world, resource_type, query)
        assert sorted(found) == sorted(expected), f"{resource_type}?{query}"
        assert page.total == len(expected)


@pytest.mark.parametrize("sort", ["name", "-name", "birthdate", "-birthdate", "_id", "-_id", "gender,-birthdate"])
async def test_sorted_pages_hold_every_hit_once_in_order(hub, sort):
    world = [
        {"resourceType": "Patient", "id": f"p{n}"}
        | ({"name": [{"family": _WORDS[n % len(_WORDS)]}]} if n % 5 else {})
        | ({"birthDate": f"19{60 + n % 30}-01-01"} if n % 3 else {})
        | ({"gender": "male"} if n % 2 else {})
        for n in range(23)
    ]
    await _store(hub, world)
    asked = parse("Patient", [("_sort", sort)])
    seen, after = [], None
    while True:
        page = await hub.disclose.search(ADMIN, asked, after=after, count=4, asked="")
        seen += [json.parse(entry.text.encode()) for entry in page.entries]
        if page.position is None:
            break
        after = page.position
    assert sorted(each["id"] for each in seen) == sorted(each["id"] for each in world)
    key = sort.split(",")[0]
    descending, name = key.startswith("-"), key.removeprefix("-")

    def value(document):
        values = search_parameters.index(document)
        if name == "_id":
            return document["id"]
        parameter = search_parameters.definition("Patient", name)
        assert parameter is not None
        paths = parameter.paths
        every = [
            *values.strings,
            *[(p, c) for p, _, c in values.tokens],
            *[(p, str(low)) for p, low, _ in values.dates],
        ]
        own = [text for path, text in every if path in paths]
        return (max(own) if descending else min(own)) if own else None

    present = [found for each in seen if (found := value(each)) is not None]
    assert present == sorted(present, reverse=descending)
    assert [value(each) is None for each in seen] == sorted(value(each) is None for each in seen)
