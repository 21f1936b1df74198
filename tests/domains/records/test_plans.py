"""Selective searches read index rows, never the whole store, whatever PostgreSQL knows about the data."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from healthsync.domains.records import RecordIndex, Visibility, plan_search, store
from healthsync.infrastructure.crypto import BlindIndex
from healthsync.standards.fhir.query import parse

INDEX = RecordIndex(BlindIndex(bytes(32)))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATIENTS, OBSERVATIONS = 2_000, 18_000

SELECTIVE = {
    "token": ("Observation", "code=http://loinc.org|c7"),
    "identifier": ("Patient", "identifier=MRN-77"),
    "token and status": ("Observation", "code=c7&status=final"),
    "several tokens": ("Observation", "code=c7,c9,http://loinc.org|c11"),
    "reference": ("Observation", "patient=p77"),
    "several references": ("Observation", "patient=p77,p78"),
    "date": ("Observation", "date=2021-03-04"),
    "quantity": ("Observation", "value-quantity=17|http://unitsofmeasure.org|mg"),
    "number in any unit": ("Observation", "value-quantity=17"),
    "string": ("Organization", "name=mercy 77"),
    "sealed string": ("Patient", "family=n77xx"),
    "birth date": ("Patient", "birthdate=1980-02-03"),
    "words": ("Observation", "_content=rare77"),
    "chain to a token": ("Observation", "patient.identifier=MRN-77"),
    "chain to a string": ("Patient", "organization.name=mercy 77"),
    "chain of two": ("Observation", "patient.organization.name=mercy 77"),
    "_has a token": ("Patient", "_has:Observation:patient:code=c7"),
    "_has a date": ("Patient", "_has:Observation:patient:date=2021-03-04"),
    "id": ("Patient", "_id=p77"),
}
"""What each search is about, its type and query; at most a hundred hits."""
NEED_STATISTICS = ("words", "chain", "_has")
"""PostgreSQL chooses where these begin; before the first ANALYZE of a table it guesses."""


async def _fill(tx) -> None:
    """Rows as writes make them, only quicker: hashes of the few values asked for, others from numbers."""
    # p77 and its kin have their true keys; the others have keys that nobody asks for.
    await tx.execute(
        "INSERT INTO resource (pid, resource_type, id, version, updated_at, patient_key, deleted, digest, key, present)"
        " SELECT n, CASE WHEN n <= $1 THEN 'Patient' WHEN n <= $1 + 200 THEN 'Organization' ELSE 'Observation' END,"
        " 'p' || n, 1, now(), CASE WHEN n <= $1 THEN n WHEN n > $1 + 200 THEN 1 + n % $1 END, false, 'd', n * 7919, '\\xffffffffffffffff'"
        " FROM generate_series(1, $1::int + 200 + $2::int) n",
        PATIENTS, OBSERVATIONS,
    )  # fmt: skip
    await tx.execute("UPDATE resource SET key = $1 WHERE pid = 77", INDEX.key("Patient/p77"))
    await tx.execute("UPDATE resource SET key = $1 WHERE pid = $2", INDEX.key("Organization/mercy"), PATIENTS + 77)
    await tx.execute(
        "INSERT INTO resource_content (pid, packed, key_scope, key_version) SELECT pid, '{}', 'hub', 1 FROM resource"
    )
    first = PATIENTS + 200
    for n in range(0, 400):
        await tx.execute(
            "INSERT INTO index_token SELECT $1::bigint, pid, $2::int FROM resource WHERE pid > $3::int AND pid % 400 = $4",
            INDEX.token("Observation", "code", f"c{n}"), INDEX.system("http://loinc.org"), first, n,
        )  # fmt: skip
    patient, organization = INDEX.path("Observation", "subject"), INDEX.path("Patient", "managingOrganization")
    statements = [
        ("INSERT INTO index_token SELECT $1::bigint, pid, 0 FROM resource WHERE pid > $2::int",
         [INDEX.token("Observation", "status", "final"), first]),
        ("INSERT INTO index_token SELECT pid * 31, pid, 0 FROM resource WHERE resource_type = 'Patient'", []),
        ("INSERT INTO index_token SELECT $1::bigint, 77, 0", [INDEX.token("Patient", "identifier", "MRN-77")]),
        ("INSERT INTO index_token SELECT $1::bigint, pid, 0 FROM resource WHERE pid % 500 = 77 AND pid < $2::int",
         [INDEX.prefix("Patient", "name.family", "n77xx"), PATIENTS]),
        ("INSERT INTO index_token SELECT $1::bigint, pid, 0 FROM resource WHERE pid % 500 = 3 AND pid < $2::int",
         [INDEX.day("Patient", "birthDate", "1980-02-03"), PATIENTS]),
        ("INSERT INTO index_reference SELECT p.key, o.pid, $1::int FROM resource o JOIN resource p ON p.pid = o.patient_key"
         " WHERE o.resource_type = 'Observation'", [patient]),
        ("INSERT INTO index_reference SELECT o.key, p.pid, $1::int FROM resource p JOIN resource o ON o.pid = $2::int + 1 + p.pid % 200"
         " WHERE p.resource_type = 'Patient'", [organization, PATIENTS]),
        ("INSERT INTO index_string SELECT $1::bigint, pid, 'mercy ' || (pid - $2::int) FROM resource WHERE resource_type = 'Organization'",
         [INDEX.parameter("Organization", "name"), PATIENTS]),
        ("INSERT INTO index_date SELECT $1::int, pid, d, d + interval '1 day' FROM (SELECT pid,"
         " timestamptz '2020-01-01' + (pid % 1500) * interval '1 day' AS d FROM resource WHERE pid > $2::int) x",
         [INDEX.date_path("Observation", "effectiveDateTime"), first]),
        ("INSERT INTO index_number SELECT $1::bigint, pid % 400, pid % 400, pid FROM resource WHERE pid > $2::int",
         [INDEX.parameter("Observation", "valueQuantity"), first]),
        ("INSERT INTO index_number SELECT $1::bigint, (pid % 400) / 1000.0, (pid % 400) / 1000.0, pid FROM resource WHERE pid > $2::int",
         [INDEX.number("Observation", "valueQuantity", "ucum", "g"), first]),
        ("UPDATE resource_content SET words = ARRAY[1, 2, 3, pid % 5000 + 10]::smallint[] WHERE pid > $1::int", [first]),
        ("UPDATE resource_content SET words = words || $1::smallint WHERE pid % 1000 = 7", [INDEX.words(["rare77"])[0][0]]),
    ]  # fmt: skip
    for statement, parameters in statements:
        await tx.execute(statement, *parameters)


def _nodes(plan: dict) -> list[dict]:
    return [plan, *(node for inner in plan.get("Plans", ()) for node in _nodes(inner))]


async def _explained(tx, statement: str, parameters: list) -> list[dict]:
    """The nodes of the plan that is kept when a prepared statement has been used often: one for any values."""
    prepared = f"EXPLAIN (ANALYZE, FORMAT JSON, TIMING OFF) {statement}"
    found = await tx.fetchval(prepared, *parameters)
    return _nodes(json.loads(found)[0]["Plan"])


async def _choose(tx, plan) -> None:
    contenders = plan.contenders()
    counts = []
    for term in contenders:
        text, parameters = plan.probe(term, Visibility())
        counts.append(await tx.fetchval(text, *parameters))
    if contenders:
        plan.choose(list(zip(counts, contenders, strict=True)))


def _read(node: dict) -> int:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return (node["Actual Rows"] + removed) * node["Actual Loops"]


def _bad(nodes: list[dict]) -> list[str]:
    """Tables that were read as a whole (one of a page or two may be), and scans that went through too many rows."""
    scans = [node for node in nodes if "Scan" in node["Node Type"] and "Relation Name" in node]
    bad = [
        f"{n['Node Type']} of {n['Relation Name']}" for n in scans if n["Node Type"] == "Seq Scan" and _read(n) > 500
    ]
    read = sum(_read(node) for node in scans)
    return bad + ([f"{read} rows read"] if read > 1_500 else [])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "force_generic_plan"])
@pytest.mark.parametrize("analysed", [True, False])
async def test_a_selective_search_reads_no_table_as_a_whole(database, analysed, mode):
    async with database.transaction() as tx:
        await _fill(tx)
    failures = {}
    if analysed:
        async with database.connection() as tx:
            await tx.execute("VACUUM ANALYZE")
    async with database.transaction() as tx:
        await tx.execute(f"SET LOCAL plan_cache_mode = {mode}")
        for name, (resource_type, query) in SELECTIVE.items():
            if not analysed and name.startswith(NEED_STATISTICS):
                continue
            asked = parse(resource_type, parse_qsl(query))
            plan = plan_search((resource_type,), asked.criteria, [], INDEX, NOW)
            await _choose(tx, plan)
            for what, (statement, parameters) in {
                "page": plan.page(Visibility(), store.COLUMNS, None, 51),
                "count": plan.counting(Visibility(), 251),
            }.items():
                if bad := _bad(await _explained(tx, statement, parameters)):
                    failures[f"{name}, {what}"] = bad
    assert not failures
