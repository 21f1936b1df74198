"""Search over HTTP: what is found, what comes with it, what is withheld, and what is refused with a clear answer."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.consents import opt_out

UCUM = "http://unitsofmeasure.org"


async def _put(client, *resources: dict[str, Any]) -> None:
    entries = [
        {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
        for each in resources
    ]
    answer = await client.post("/fhir", json={"resourceType": "Bundle", "type": "transaction", "entry": entries})
    assert answer.status_code == 200, answer.text


async def _bundle(client, query: str) -> dict[str, Any]:
    answer = await client.get(f"/fhir/{query}")
    assert answer.status_code == 200, (query, answer.text)
    return answer.json()


async def _found(client, query: str, mode: str = "match") -> list[str]:
    bundle = await _bundle(client, query)
    return sorted(
        f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
        for entry in bundle.get("entry", [])
        if entry["search"]["mode"] == mode
    )


async def _refused(client, query: str, status: int, code: str) -> str:
    answer = await client.get(f"/fhir/{query}")
    assert answer.status_code == status, (query, answer.status_code, answer.text)
    issue = answer.json()["issue"][0]
    assert issue["code"] == code, (query, issue)
    return issue["details"]["text"] if "details" in issue else issue["diagnostics"]


def _patient(id_: str, family: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, "name": [{"family": family, "given": ["Ottoline"]}], **more}


def _observation(id_: str, patient: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": id_, "status": "final", "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "718-7", "display": "Hemoglobin in blood"}]}, **more,
    }  # fmt: skip


WORLD = [
    {"resourceType": "Organization", "id": "org", "name": "Weir Hospital", "partOf": {"reference": "Organization/top"}},
    {"resourceType": "Organization", "id": "top", "name": "Holbrook Group"},
    {"resourceType": "Practitioner", "id": "doc", "name": [{"family": "Aldous"}]},
    _patient("p1", "Quennell", gender="female", birthDate="1971-03-09", managingOrganization={"reference": "Organization/org"},
             identifier=[{"system": "urn:oid:1.2.3", "value": "MRN-1",
                          "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}}]),
    _patient("p2", "Ravensworth", gender="male", generalPractitioner=[{"reference": "Practitioner/doc"}]),
    {"resourceType": "Encounter", "id": "e1", "status": "finished", "subject": {"reference": "Patient/p1"},
     "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
     "serviceProvider": {"reference": "Organization/org"}, "participant": [{"individual": {"reference": "Practitioner/doc"}}]},
    _observation("o1", "p1", effectiveDateTime="2024-05-06T07:08:09Z", encounter={"reference": "Encounter/e1"},
                 valueQuantity={"value": 13.5, "unit": "g/dL", "system": UCUM, "code": "g/dL"},
                 performer=[{"reference": "Practitioner/doc"}], note=[{"text": "taken at the bedside"}]),
    _observation("o2", "p2", effectiveDateTime="2023-01", valueQuantity={"value": 90, "unit": "g/L", "system": UCUM, "code": "g/L"},
                 text={"status": "generated", "div": "<div xmlns=\"http://www.w3.org/1999/xhtml\">A pale patient</div>"}),
    _observation("o3", "p2", component=[
        {"code": {"coding": [{"system": "http://loinc.org", "code": "8480-6"}]}, "valueQuantity": {"value": 120, "system": UCUM, "code": "mm[Hg]"}},
        {"code": {"coding": [{"system": "http://loinc.org", "code": "8462-4"}]}, "valueQuantity": {"value": 80, "system": UCUM, "code": "mm[Hg]"}}]),
    {"resourceType": "Location", "id": "l1", "name": "Ward", "position": {"latitude": 51.5, "longitude": -0.12}},
    {"resourceType": "Location", "id": "l2", "name": "Far", "position": {"latitude": 48.85, "longitude": 2.35}},
    {"resourceType": "ValueSet", "id": "v1", "url": "http://example.org/fhir/ValueSet/blood", "status": "active"},
    {"resourceType": "List", "id": "list", "status": "current", "mode": "changes", "entry": [
        {"item": {"reference": "Patient/p2"}}, {"item": {"reference": "Patient/p1"}, "deleted": True}]},
]  # fmt: skip

FINDS = [
    # chains and _has
    ("Observation?subject:Patient.family=quen", "o1"),
    ("Observation?patient.organization.name=weir", "o1"),
    ("Observation?patient.organization.partof.name=holbrook", "o1"),
    ("Observation?encounter.service-provider:Organization.name=weir", "o1"),
    ("Observation?performer:Practitioner.family=aldous", "o1"),
    ("Observation?subject.birthdate=lt1980", "o1"),
    ("Patient?_has:Observation:patient:code=718-7", "p1 p2"),
    ("Patient?_has:Observation:patient:value-quantity=gt100|http://unitsofmeasure.org|g/L", "p1"),
    ("Patient?_has:Observation:patient:performer:Practitioner.family=aldous", "p1"),
    ("Organization?_has:Patient:organization:_has:Observation:patient:code=718-7", "org"),
    ("Practitioner?_has:Patient:general-practitioner:gender=male", "doc"),
    # values
    ("Observation?value-quantity=135|http://unitsofmeasure.org|g/L", "o1"),
    ("Observation?value-quantity=lt10|http://unitsofmeasure.org|g/dL", "o2"),
    ("Observation?component-code-value-quantity=8480-6$gt100", "o3"),
    ("Observation?component-code-value-quantity=8480-6$lt100", ""),
    ("Observation?code-value-quantity=http://loinc.org|718-7$13.5||g/dL", "o1"),
    ("Observation?date=ge2024", "o1"),
    ("Observation?date=2023", "o2"),
    ("Observation?date:missing=true", "o3"),
    ("Observation?code:text=hemoglobin in bl", "o1 o2 o3"),
    ("Patient?gender:not=male", "p1"),
    ("Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|MRN-1", "p1"),
    ("Patient?identifier=urn:oid:1.2.3|MRN-1", "p1"),
    ("Patient?identifier=|MRN-1", ""),
    ("Patient?phonetic=Quenel", "p1"),
    ("Patient?family:contains=avens", "p2"),
    ("Patient?given=otto&family=quennell", "p1"),
    ("Location?near=51.5|-0.13|5|km", "l1"),
    ("ValueSet?url:below=http://example.org/fhir", "v1"),
    ("ValueSet?url:above=http://example.org/fhir/ValueSet/blood/more", "v1"),
    ("ValueSet?url=http://example.org/fhir", ""),
    # words, lists, filters
    ("Observation?_content=bedside", "o1"),
    ("Observation?_text=pale", "o2"),
    ("Patient?_content=quennell", "p1"),
    ("Patient?_list=list", "p2"),
    ("Patient?_filter=family eq quennell or gender eq male", "p1 p2"),
    ("Patient?_filter=not (gender eq male)", "p1"),
    ("Patient?_id=p1,p2,p3", "p1 p2"),
    ("Patient?_lastUpdated=gt2020", "p1 p2"),
    ("Patient?_lastUpdated=lt2020", ""),
    # compartments
    ("Patient/p1/Observation", "o1"),
    ("Patient/p2/Observation?date:missing=true", "o3"),
    ("Encounter/e1/Observation", "o1"),
    ("Encounter/e1/Encounter", "e1"),
    ("Practitioner/doc/Observation?code=718-7", "o1"),
    ("Practitioner/doc/Observation?date=2023", ""),
    ("Practitioner/doc/Patient", "p2"),
    ("Practitioner/nobody/Patient", ""),
    ("Device/nothing/Observation", ""),
    ("RelatedPerson/nobody/Observation", ""),
]  # fmt: skip


async def test_each_kind_of_criterion_finds_what_satisfies_it(admin):
    await _put(admin, *WORLD)
    for query, expected in FINDS:
        found = [each.partition("/")[2] for each in await _found(admin, query)]
        assert found == expected.split(), query
        total = (await _bundle(admin, query + ("&" if "?" in query else "?") + "_summary=count"))["total"]
        assert total == len(expected.split()), query


async def test_across_types_and_whole_compartments(admin):
    await _put(admin, *WORLD)
    assert await _found(admin, "?_type=Patient,Organization&_id=p1,org") == ["Organization/org", "Patient/p1"]
    assert await _found(admin, "Patient/p1/*") == ["Encounter/e1", "Observation/o1", "Patient/p1"]
    assert await _found(admin, "?_type=Encounter,Observation&patient=p1") == ["Encounter/e1", "Observation/o1"]
    assert await _found(admin, "Practitioner/doc/*") == [
        "Encounter/e1",
        "Observation/o1",
        "Patient/p2",
        "Practitioner/doc",
    ]
    assert await _found(admin, "Encounter/e1/*") == ["Encounter/e1", "Observation/o1"]
    assert await _found(admin, "Practitioner/doc/*?_type=Observation,Location,Encounter") == [
        "Encounter/e1",
        "Observation/o1",
    ]
    assert await _found(admin, "Encounter/e1/*?_type=Observation&code=718-7") == ["Observation/o1"]
    await _refused(admin, "Encounter/e1/Organization", 400, "not-supported")
    await _refused(admin, "Encounter/e1/*?_type=Organization", 400, "not-supported")
    await _refused(admin, "Organization/org/Observation", 400, "not-supported")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for path, shape in (("Patient/_search", ""), ("Patient/_search?_count=5", "_count=5&")):
        answer = await admin.post(f"/fhir/{path}", content="family=quen&gender=female", headers=form)
        assert [each["resource"]["id"] for each in answer.json()["entry"]] == ["p1"]
        assert answer.json()["link"][0]["url"].endswith(f"Patient?{shape}family=quen&gender=female")
    answer = await admin.post("/fhir/_search", content="_type=Patient&_id=p2", headers=form)
    assert [each["resource"]["id"] for each in answer.json()["entry"]] == ["p2"]
    answer = await admin.post("/fhir/Patient/p1/Observation/_search", content="code=718-7", headers=form)
    assert [each["resource"]["id"] for each in answer.json()["entry"]] == ["o1"]


async def test_a_compartment_holds_nothing_that_merely_has_the_id_of_its_owner(admin):
    await _put(admin, *WORLD, {"resourceType": "Basic", "id": "p1", "code": {"text": "of p2"},
                               "subject": {"reference": "Patient/p2"}})  # fmt: skip
    assert "Basic/p1" not in await _found(admin, "Patient/p1/*")
    assert "Basic/p1" in await _found(admin, "Patient/p2/*")


async def test_a_compartment_shows_no_more_than_roles_and_consent_permit(admin, client_as):
    denied = {
        "resourceType": "Consent",
        "id": "no",
        "status": "active",
        "scope": {"coding": [{"code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": "Patient/p2"},
        "policyRule": {"coding": [{"code": "OPTIN"}]},
        "provision": {"type": "deny", "purpose": [{"code": "TREAT"}]},
    }
    await _put(admin, *WORLD, denied)
    physician, billing = await client_as("physician"), await client_as("billing")
    assert await _found(physician, "Practitioner/doc/*") == ["Encounter/e1", "Observation/o1", "Practitioner/doc"]
    await _refused(billing, "Encounter/e1/Observation", 403, "forbidden")
    await _refused(billing, "Encounter/e1/*", 403, "forbidden")  # it asks about elements that billing is not shown


# --- includes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "included"),
    [
        ("Observation?_id=o1&_include=Observation:subject", "Patient/p1"),
        ("Observation?_id=o1&_include=Observation:subject:Group", ""),
        ("Observation?_id=o1&_include=Observation:*", "Encounter/e1 Patient/p1 Practitioner/doc"),
        ("Observation?_id=o1&_include=*", "Encounter/e1 Patient/p1 Practitioner/doc"),
        ("Observation?_id=o1&_include=Observation:patient&_include=Patient:organization", "Patient/p1"),
        ("Observation?_id=o1&_include=Observation:patient&_include:iterate=Patient:organization", "Organization/org Patient/p1"),
        ("Observation?_id=o1&_include=Observation:patient&_include:iterate=Patient:organization"
         "&_include:iterate=Organization:partof", "Organization/org Organization/top Patient/p1"),
        ("Patient?_id=p1&_revinclude=Observation:subject", "Observation/o1"),
        ("Patient?_id=p1&_revinclude=*", "Encounter/e1 List/list Observation/o1"),
        ("Patient?_id=p1&_revinclude=Encounter:patient&_revinclude:iterate=Observation:encounter", "Encounter/e1 Observation/o1"),
        ("Organization?_id=top&_revinclude:iterate=Organization:partof&_revinclude:iterate=Patient:organization",
         "Organization/org Patient/p1"),
    ],
)  # fmt: skip
async def test_includes_bring_what_is_referred_to_and_what_refers_here(admin, query, included):
    await _put(admin, *WORLD)
    assert await _found(admin, query, "include") == included.split()
    assert (await _bundle(admin, query))["total"] == 1


async def test_includes_that_run_in_a_circle_end(admin):
    ring = [{"resourceType": "Organization", "id": f"r{n}", "name": "ring", "partOf": {"reference": f"Organization/r{(n + 1) % 15}"}}
            for n in range(15)]  # fmt: skip
    await _put(admin, *ring)
    found = await _found(admin, "Organization?_id=r0&_include:iterate=Organization:partof", "include")
    assert found == sorted(f"Organization/r{n}" for n in range(1, 11))  # ten rounds
    both = "Organization?_id=r0&_include:iterate=Organization:*&_revinclude:iterate=Organization:partof"
    assert len(await _found(admin, both, "include")) == 14


async def test_consent_withholds_hits_includes_chains_and_totals(admin, client_as):
    await _put(admin, *WORLD)
    physician = await client_as("physician")
    asks = {
        "Observation?code=718-7": 3, "Observation?patient.gender=female": 1, "Observation?subject:Patient.family=quen": 1,
        "Practitioner?_has:Observation:performer:code=718-7": 1, "Organization?_has:Patient:organization:family=quen": 1,
        "Patient?_list=list": 1, "Patient?_content=quennell": 1, "Patient/p1/Observation": 1, "?_type=Patient,Observation": 5,
    }  # fmt: skip
    for query, count in asks.items():
        assert (await _bundle(physician, query))["total"] == count, query
    assert await _found(physician, "Organization?_id=org&_revinclude=Patient:organization", "include") == ["Patient/p1"]
    await admin.post("/fhir/Consent", json=opt_out("p1"))
    withheld = {
        "Observation?code=718-7": 2, "Observation?patient.gender=female": 0, "Observation?subject:Patient.family=quen": 0,
        "Practitioner?_has:Observation:performer:code=718-7": 0, "Organization?_has:Patient:organization:family=quen": 0,
        "Patient?_list=list": 1, "Patient?_content=quennell": 0, "?_type=Patient,Observation": 3,
    }  # fmt: skip
    for query, count in withheld.items():
        bundle = await _bundle(physician, query)
        assert (bundle["total"], len(bundle.get("entry", []))) == (count, count), query
        assert (await _bundle(physician, query + "&_total=accurate&_summary=count"))["total"] == count
        assert "Quennell" not in str(bundle)
    assert await _found(physician, "Organization?_id=org&_revinclude=Patient:organization", "include") == []
    for path in ("Patient/p1/Observation", "Patient/p1/*"):
        assert "Quennell" not in (await physician.get(f"/fhir/{path}")).text


# --- roles --------------------------------------------------------------------------------------------------------


async def test_roles_bound_chains_lists_and_elements_that_can_be_asked_about(admin, client_as):
    await _put(admin, *WORLD)
    billing, nurse = await client_as("billing"), await client_as("nurse")
    assert await _found(billing, "Patient?family=quen") == ["Patient/p1"]
    assert await _found(billing, "Encounter?patient.family=quen") == ["Encounter/e1"]
    for query in (
        "Patient?birthdate=1971", "Patient?gender=female", "Patient?birthdate:missing=false", "Patient?_sort=birthdate",
        "Patient?family=quen&_sort=-gender", "Encounter?patient.birthdate=1971", "Patient?_has:Observation:patient:code=718-7",
        "Patient?_list=list", "Patient?_content=quennell", "Patient?_text=quennell", "Patient?_filter=gender eq female",
        "Encounter?_include=Encounter:participant", "Patient?_include=Patient:general-practitioner", "Patient?organization.name=weir",
        "Practitioner?_has:Encounter:participant:status=finished", "Practitioner?_revinclude=Encounter:participant",
        "Encounter?participant:Practitioner.family=aldous", "Observation?code=1",
    ):  # fmt: skip
        await _refused(billing, query, 403, "forbidden")
    assert await _found(billing, "Practitioner?_id=doc&_revinclude=*", "include") == []
    assert await _found(billing, "Encounter?_id=e1&_include=*", "include") == []
    assert await _found(nurse, "Patient?_has:Observation:patient:code=718-7&gender=female") == ["Patient/p1"]
    await _refused(nurse, "Patient?_list=list", 403, "forbidden")
    types = {each.partition("/")[0] for each in await _found(billing, "?_lastUpdated=gt2020")}
    assert types == {"Patient", "Encounter", "Location", "Organization", "Practitioner"}


async def test_an_include_passes_over_canonicals_of_what_the_roles_do_not_show(admin, client_as):
    url = "http://example.org/fhir/ActivityDefinition/a"
    activity = {"resourceType": "ActivityDefinition", "id": "act", "status": "active", "url": url}
    procedure = {"resourceType": "Procedure", "id": "pr", "status": "completed", "subject": {"reference": "Patient/p1"}}
    await _put(admin, *WORLD, activity, {**procedure, "instantiatesCanonical": [url]})
    nurse = await client_as("nurse")
    for include, also in (("Procedure:instantiates-canonical", []), ("*", ["Patient/p1"])):
        query = f"Procedure?_id=pr&_include={include}"
        assert await _found(admin, query, "include") == ["ActivityDefinition/act", *also]
        assert await _found(nurse, query, "include") == also


async def test_canonicals_are_followed_backwards_and_by_chains_in_the_version_that_was_written(admin, client_as):
    url = "http://example.org/fhir/Questionnaire/q"
    await _put(
        admin,
        {"resourceType": "Questionnaire", "id": "q1", "status": "retired", "url": url, "version": "1", "title": "First"},
        {"resourceType": "Questionnaire", "id": "q2", "status": "active", "url": url, "version": "2", "title": "Second"},
        *(
            {"resourceType": "QuestionnaireResponse", "id": id_, "status": status, "questionnaire": name}
            for id_, status, name in (
                ("any", "completed", url), ("one", "amended", f"{url}|1"), ("two", "stopped", f"{url}|2"),
                ("other", "completed", f"{url}x"),
            )
        ),
    )  # fmt: skip
    nurse = await client_as("nurse")
    responses = [f"QuestionnaireResponse/{each}" for each in ("any", "one", "two")]
    for of, expected in (("q1", responses[:2]), ("q2", [responses[0], responses[2]])):
        for include in ("QuestionnaireResponse:questionnaire", "QuestionnaireResponse:*", "*"):
            query = f"Questionnaire?_id={of}&_revinclude={include}"
            assert await _found(admin, query, "include") == expected
        title = {"q1": "First", "q2": "Second"}[of]
        for chain in ("questionnaire.title", "questionnaire:Questionnaire.title"):
            assert await _found(admin, f"QuestionnaireResponse?{chain}={title}") == expected
        assert await _found(admin, f"QuestionnaireResponse?_filter=questionnaire.title eq {title}") == expected
    both = ["Questionnaire/q1", "Questionnaire/q2"]
    for status, named in (("completed", both), ("amended", both[:1]), ("stopped", both[1:]), ("in-progress", [])):
        query = f"Questionnaire?_has:QuestionnaireResponse:questionnaire:status={status}"
        assert await _found(admin, query) == named
        assert (await _bundle(admin, f"{query}&_summary=count"))["total"] == len(named)
    await _refused(nurse, "Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed", 403, "forbidden")


# --- the shape of an answer ---------------------------------------------------------------------------------------


async def test_totals_counts_and_summaries(admin):
    await _put(admin, *WORLD, *(_observation(f"n{n}", "p1") for n in range(4)))
    everything = await _bundle(admin, "Observation")
    assert everything["total"] == 7
    assert "total" not in await _bundle(admin, "Observation?_total=none&_count=2")
    assert (await _bundle(admin, "Observation?_total=estimate&_count=2"))["total"] == 7
    assert (await _bundle(admin, "Observation?_total=accurate&_count=2"))["total"] == 7
    for query in ("Observation?_count=0", "Observation?_summary=count"):
        none = await _bundle(admin, query)
        assert (none["total"], none.get("entry", [])) == (7, [])
        assert [link["relation"] for link in none["link"]] == ["self"]

    async def elements(query: str) -> set[str]:
        return set((await _bundle(admin, f"Observation?_id=o1&{query}"))["entry"][0]["resource"])

    assert "note" not in await elements("_summary=true")
    assert {"code", "subject", "status"} <= await elements("_summary=true")
    assert await elements("_summary=data") == await elements("_summary=false")
    assert await elements("_elements=status,valueQuantity") == {
        "resourceType", "id", "meta", "status", "valueQuantity", "code"}  # fmt: skip
    text = (await _bundle(admin, "Observation?_id=o2&_summary=text"))["entry"][0]["resource"]
    assert "text" in text
    assert "effectiveDateTime" not in text
    assert text["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert (await admin.get("/fhir/Observation?_id=o1&_format=json")).status_code == 200
    assert (await admin.get("/fhir/Observation?_id=o1&_format=xml")).status_code == 406


async def test_an_unknown_filter_refuses_unless_it_may_be_passed_over(admin):
    await _put(admin, *WORLD)
    assert "shoe" in await _refused(admin, "Patient?shoe=9", 400, "not-supported")
    answer = await admin.get("/fhir/Patient?shoe=9&family=quen", headers={"Prefer": "handling=lenient"})
    entries = answer.json()["entry"]
    assert [each["search"]["mode"] for each in entries] == ["match", "outcome"] or {
        e["search"]["mode"] for e in entries
    } == {"match", "outcome"}
    assert "shoe" in str([each for each in entries if each["search"]["mode"] == "outcome"])
    strict = {"Prefer": "handling=strict"}
    assert (await admin.get("/fhir/Patient?shoe=9", headers=strict)).status_code == 400
    lenient = {"Prefer": "handling=lenient"}
    assert (await admin.get("/fhir/Observation?patient.shoe=9", headers=lenient)).status_code == 400


async def _pages(client, query: str, between=None) -> list[str]:
    seen: list[str] = []
    url = f"http://hub/fhir/{query}"
    for _ in range(60):
        answer = await client.get(url)
        assert answer.status_code == 200, answer.text
        bundle = answer.json()
        seen += [each["resource"]["id"] for each in bundle.get("entry", [])]
        following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not following:
            return seen
        url = following[0]
        if between is not None:
            await between()
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize(
    "sort", ["-date", "date,-_id", "_lastUpdated", "status,-date,_id", "-value-quantity", "code", "patient"]
)
async def test_sorted_pages_hold_each_hit_once(admin, sort):
    dated = [
        _observation(f"s{n:02}", "p1", **({"effectiveDateTime": f"20{10 + n % 7}"} if n % 4 else {}),
                     **({"valueQuantity": {"value": n % 5}} if n % 3 else {}), status="final" if n % 2 else "amended")
        for n in range(17)
    ]  # fmt: skip
    await _put(admin, _patient("p1", "Quennell"), *dated)
    seen = await _pages(admin, f"Observation?_sort={sort}&_count=3")
    assert sorted(seen) == [f"s{n:02}" for n in range(17)]
    assert seen == await _pages(admin, f"Observation?_sort={sort}&_count=1000")
    if sort.endswith("date") and "," not in sort:
        years = [int(each["effectiveDateTime"]) for id_ in seen for each in dated
                 if each["id"] == id_ and "effectiveDateTime" in each]  # fmt: skip
        assert years == sorted(years, reverse=True)
        assert [n for n in seen[-5:] if int(n[1:]) % 4 == 0] == seen[-5:]  # those without a date come last


_CHANGES = st.lists(st.tuples(st.sampled_from(["insert", "update", "delete"]), st.integers(0, 11)), max_size=6)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=8, derandomize=True)
@given(changes=_CHANGES, size=st.integers(1, 4), query=st.sampled_from(["Observation?", "Observation?patient=p1", "Observation?_sort=_id", "Observation?note=x"]))  # fmt: skip
async def test_paging_loses_and_doubles_nothing_while_others_write(admin, changes, size, query):
    query = query.replace("note=x", "code:text=hemoglobin blood" if "note" in query else "")
    if "code:text" in query:
        query = "Observation?code:text=hemoglobin"
    kept = {f"k{n:02}" for n in range(12)}
    await _put(admin, _patient("p1", "Quennell"), *(_observation(id_, "p1") for id_ in sorted(kept)))
    before = set(await _pages(admin, f"{query}&_count=100"))
    waiting, gone, come = list(changes), set(), set()

    async def between() -> None:
        if not waiting:
            return
        kind, n = waiting.pop()
        match kind:
            case "insert":
                come.add(f"x{n:02}")
                await admin.put(f"/fhir/Observation/x{n:02}", json=_observation(f"x{n:02}", "p1"))
            case "update":
                changed = _observation(f"k{n:02}", "p1", note=[{"text": f"seen {len(waiting)}"}])
                await admin.put(f"/fhir/Observation/k{n:02}", json=changed)
                gone.discard(f"k{n:02}")
            case _:
                gone.add(f"k{n:02}")
                await admin.delete(f"/fhir/Observation/k{n:02}")

    touched = {f"k{n:02}" for kind, n in changes if kind == "delete"}
    seen = await _pages(admin, f"{query}&_count={size}", between)
    assert len(seen) == len(set(seen))
    assert before - touched <= set(seen) <= before | come
    for id_ in {*come, *before, *touched}:
        await admin.delete(f"/fhir/Observation/{id_}")


# --- hostile questions --------------------------------------------------------------------------------------------

INJECTIONS = ["' OR 1=1 --", "'; DROP TABLE resource; --", "$1", "%", "_", "\\", "%27%00", "\u0000", "\ud83d\ude00", "))", "{}",
              "x" * 3000, "a,b,,c", "|", "||", "$", "\\,", "ge", "1e999", "-0", "9" * 120, "0001", "9999-12-31"]  # fmt: skip
KINDS = ["Patient?family=", "Patient?family:exact=", "Patient?family:contains=", "Patient?identifier=", "Patient?birthdate=",
         "Patient?_id=", "Patient?gender:not=", "Patient?phonetic=", "Patient?_content=", "Patient?_text=", "Patient?_filter=",
         "Patient?_list=", "Patient?_sort=", "Patient?_count=", "Patient?_elements=", "Patient?_total=", "Patient?_summary=",
         "Patient?_include=", "Patient?_revinclude=", "Patient?_lastUpdated=", "Patient?_cursor=", "Patient?_tag=",
         "Observation?value-quantity=", "Observation?code:text=", "Observation?code-value-quantity=", "Observation?subject=",
         "Observation?subject:identifier=", "Observation?patient.family=", "Patient?_has:Observation:patient:code=",
         "RiskAssessment?probability=", "ValueSet?url:below=", "ValueSet?url:above=", "Location?near=", "Organization?name:contains=",
         "Observation?code:in=", "Observation?code:below=", "?_type=", "Patient/p1/Observation?code=", "Patient?",
         "Patient/p1/$everything?_count=", "Patient/p1/$everything?_since=", "Patient/p1/$everything?_type="]  # fmt: skip


async def test_no_value_breaks_out_of_its_place(admin):
    await _put(admin, _patient("p1", "Quennell"), _observation("o1", "p1"))
    for kind in KINDS:
        for text in INJECTIONS:
            answer = await admin.get(f"/fhir/{kind}{quote(text.encode('utf-8', 'surrogatepass'))}")
            assert answer.status_code in (200, 400, 403, 404, 422), (kind, text, answer.status_code, answer.text[:300])
            assert answer.json()["resourceType"] in ("Bundle", "OperationOutcome")
            if answer.status_code != 200:
                assert "Traceback" not in answer.text
                assert "syntax" not in answer.text
    assert await _found(admin, "Patient?family=quen") == ["Patient/p1"]


async def test_large_and_deep_questions_are_bounded(admin):
    await _put(admin, *WORLD)
    many = ",".join(f"id{n}" for n in range(2_000))
    await _refused(admin, f"Patient?_id={many}", 422, "too-costly")
    await _refused(admin, f"Observation?subject={many}", 422, "too-costly")
    assert await _found(admin, "Patient?_id=p1," + ",".join(f"id{n}" for n in range(400))) == ["Patient/p1"]
    assert len((await _bundle(admin, "Observation?_count=1000000"))["entry"]) == 3
    deep = ".".join(["partof"] * 30) + ".name=x"
    await _refused(admin, f"Organization?{deep}", 422, "too-costly")
    await _refused(admin, "Patient?" + "_has:Observation:patient:" * 1 + "_has:Patient:organization:" * 12 + "code=1", 400,
                   "not-supported")  # fmt: skip
    await _refused(admin, "Organization?" + "_has:Organization:partof:" * 12 + "name=x", 422, "too-costly")
    wide = "subject.subject.subject.subject.code=x"
    assert (await admin.get(f"/fhir/Observation?{wide}")).status_code in (400, 422)
    await _refused(admin, "Patient?" + "&".join(f"family=x{n}" for n in range(80)), 422, "too-costly")
    await _refused(admin, "Patient?" + "&".join("_include=Patient:organization" for _ in range(30)), 422, "too-costly")
    nested = "(" * 500 + "gender eq male" + ")" * 500
    assert (await admin.get(f"/fhir/Patient?_filter={nested}")).status_code in (400, 422)
    assert (await admin.get("/fhir/Patient/p1/$everything?_count=" + "9" * 6000)).status_code in (200, 400)


async def test_a_page_token_is_no_one_elses_invention(admin):
    await _put(admin, *WORLD)
    for token in ("x", "AAAA", "e30=", "é"):
        await _refused(admin, f"Patient?_cursor={quote(token)}", 400, "value")
    following = next(link["url"] for link in (await _bundle(admin, "Observation?_count=1&code=718-7"))["link"] if link["relation"] == "next")  # fmt: skip
    assert "718" not in following
    cut = following[:-6]
    assert (await admin.get(cut)).status_code == 400
