import json

import pytest

from healthsync.settings.checking import check_documents

CORRECT = {
    "access_control": "access_control: {roles: [{name: nurse, access: [{table: patients, fields: [name, room], conditions: 'department = ${user.department}'}]}]}",
    "clinical_rules": "clinical_rules: [{name: fever, conditions: {field: temperature, operator: '>', value: 38.3}, actions: [{type: alert, severity: critical, recipients: [team]}]}]",
    "connectors": "connectors: [{id: lab, type: hl7v2, config: {host: h, port: 1}, schedule: {type: listen}}]",
    "deidentification": "deidentification: {method: safe_harbor, transformations: [{field: dates, action: shift, range_days: [-5, 5]}]}",
    "device_integration": "device_integration: {protocols: [{name: hl7_mllp, port: 2575, devices: [x]}], devices: [{id: d, type: t, protocol: hl7_mllp, mapping: [{device_param: HR, fhir_code: 8867-4, unit: bpm}]}]}",
    "enrichment": "enrichment: {places: [{code: ICU, place_of_service: '21'}], insurers: [{id: '60054', name: Example Health}]}",
    "fhir_mapping": "fhir_mapping: {resources: [{fhir_type: Patient, source_table: patients, mapping: {birthDate: dob, identifier: [{system: 'http://x', value: mrn}]}}]}",
    "hl7_processing": "hl7_processing: {inbound: [{message_type: ADT^A01, mapping: [{hl7_segment: PID, target_table: patients, fields: [{hl7: PID.3, db: mrn}]}]}]}",
    "patient_matching": "patient_matching: {algorithm: probabilistic, blocking_keys: [[phone]], scoring: {fields: [{name: ssn, weight: 20, match_type: exact}]}, thresholds: {auto_merge: 95, review: 75, no_match: 50}}",
    "phi_detection": "phi_detection: {auto_detect: [{type: ssn, pattern: '[0-9]{9}', action: encrypt}], manual_fields: [{table: patients, fields: [{name: diagnosis, sensitivity: high}]}]}",
    "patient_validation": "patient_validation: {required_fields: [family_name], birth_date: {min: 1900-01-01, max: today}}",
    "observation_validation": "observation_validation: {value_ranges: {temperature: {min: 90, max: 110, unit: degF}}}",
}


@pytest.fixture
def check(tmp_path):
    """Checks one document given as text."""

    def check(text: str, *more: str):
        files = []
        for at, document in enumerate((text, *more)):
            files.append(tmp_path / f"document-{at}.yaml")
            files[-1].write_text(document)
        return check_documents(files, environ={})[0]

    return check


@pytest.mark.shared
def test_every_document_of_the_requirements_is_correct_as_it_stands(shared_data):
    files = sorted((shared_data.parent / "spec" / "config").glob("*.yaml"))
    reports = check_documents(files, environ={})
    assert len(reports) == 11
    assert {report.file.name: [str(one) for one in report.problems] for report in reports if not report.correct} == {}
    assert all(report.understood for report in reports)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("access_control", "role nurse: patients.name, room, vitals, medications when department = ${user.department}"),
        ("access_control", "role researcher: patients.every column, anonymised"),
        (
            "clinical_rules",
            "rule sepsis_screening: when temperature > 38.3 Cel and heart_rate > 90 /min and (wbc > 12000 /uL or wbc < 4000 /uL)"
            " → critical alert to rapid_response_team · suggest sepsis_bundle",
        ),
        ("connectors", "connector lab-system-quest: hl7v2, lab.quest.com:2575 (the peer that may connect), listens"),
        ("deidentification", "zip: generalize to first_3_digits, under 20,000 people: set_to_000"),
        (
            "deidentification",
            "a shifted date or salted number is not Safe Harbor: the manifest says expert_determination_required",
        ),
        ("device_integration", "HR → LOINC 8867-4 in /min; SpO2 → LOINC 2708-6 in %; NBP_SYS → LOINC 8480-6 in mm[Hg]"),
        ("fhir_mapping", "name.given ← first_name, name.given ← middle_name, birthDate ← date_of_birth"),
        ("hl7_processing", "PID.3 → patients.mrn (Patient.identifier[MR].value)"),
        ("hl7_processing", "on INSERT of appointments: send SIU^S12"),
        ("patient_matching", "score = 100 × points ÷ 60: link from 95, review from 75, different below 50"),
        ("phi_detection", "patients.diagnosis (Condition.code): high sensitivity → aes-256-gcm"),
        ("validation_rules", "temperature: 90 to 110 [degF], compared in Cel"),
    ],
)
def test_what_was_understood_is_said_in_plain_words(shared_data, file, sentence):
    (report,) = check_documents([shared_data.parent / "spec" / "config" / f"{file}.yaml"], environ={})
    assert any(sentence in said for said in report.understood), report.understood


@pytest.mark.parametrize("name", CORRECT)
def test_a_document_is_recognised_by_its_top_level_key(check, name):
    report = check(CORRECT[name])
    assert (report.kind, [str(one) for one in report.problems]) == (name, [])


@pytest.mark.parametrize(
    ("name", "right", "wrong", "sentence"),
    [
        ("access_control", "room]", "rom]", "access[0].fields[1]: unknown column “patients.rom”; did you mean room"),
        ("access_control", "table: patients", "table: patient", "unknown table “patient”; did you mean patients?"),
        ("access_control", "user.department", "user.dept", "unknown user attribute “dept”; known: id, department"),
        ("access_control", "department =", "department LIKE", "is not understood; write: column = ${user.attribute}"),
        ("clinical_rules", "field: temperature", "field: temprature", "unknown measurement “temprature”; did you mean temperature"),
        ("clinical_rules", ", operator: '>'", "", "a comparison needs field, operator and value"),
        ("clinical_rules", "field: temperature, ", "", "a comparison needs field, operator and value"),
        ("clinical_rules", "type: alert", "type: page", "“page” is not one of alert, order_set, block, task"),
        ("clinical_rules", "value: 38.3", "value: hot", "conditions.value: a number belongs here"),
        ("connectors", "port: 1", "prt: 1", "connectors[0].config: a hl7v2 connector needs port"),
        ("connectors", "id: lab,", "id: lab, plugin: os.system,", "“os.system” is not the alias of a hl7v2 connector"),
        ("connectors", "type: listen", "type: poll", "a poll needs an interval such as 30s, 5m, 1h or 1d"),
        ("deidentification", "[-5, 5]", "[5]", "a shift needs [smallest, largest] in days"),
        ("deidentification", "field: dates", "field: shoe_size", "unknown column “patients.shoe_size”"),
        ("device_integration", "d, type: t, protocol: hl7_mllp", "d, type: t, protocol: fhir_rest", "fhir_rest is not under protocols"),
        ("fhir_mapping", "value: mrn", "value: mnr", "unknown column “patients.mnr”; did you mean mrn?"),
        ("hl7_processing", "PID.3", "PV1.3", "“PV1.3” is not a field of PID"),
        ("hl7_processing", "ADT^A01", "ADT_A01", "“ADT_A01” is not a message type; write code and trigger"),
        ("hl7_processing", "db: mrn", "db: mrm", "mapping[0].fields[0].db: unknown column “patients.mrm”; did you mean mrn?"),
        ("patient_matching", "review: 75", "review: 96", "the thresholds must rise: no_match ≤ review ≤ auto_merge"),
        ("patient_matching", "match_type: exact", "match_type: fuzzy", "a fuzzy comparison needs an algorithm"),
        ("patient_matching", "[[phone]]", "[[phon]]", "blocking_keys[0][0]: unknown column “patients.phon”; did you mean phone"),
        ("phi_detection", "[0-9]{9}", "[0-9", "is not a regular expression"),
        ("phi_detection", "sensitivity: high", "sensitivity: hight", "did you mean high?"),
        ("patient_validation", "birth_date:", "birthdat:", "patient_validation.birthdat: unknown column"),
        ("patient_validation", "max: today", "max: tomorrow", "patient_validation.birth_date.max: today or a date or a number"),
        ("observation_validation", "unit: degF", "", "value_ranges.temperature.unit: is missing"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_key_and_remedy(check, name, right, wrong, sentence):
    assert right in CORRECT[name]
    report = check(CORRECT[name].replace(right, wrong, 1))
    assert any(sentence in str(problem) for problem in report.problems), [str(one) for one in report.problems]
    assert all(problem.at.startswith("document-0.yaml:") for problem in report.problems)


def test_a_dictionary_beside_them_extends_the_names_of_the_others(check):
    document = CORRECT["access_control"].replace("room]", "vip]")
    dictionary = {"tables": {"patients": {"fhir_type": "Patient", "columns": {"vip": {"path": "extension[vip]", "type": "Extension", "sensitivity": "high"}}}}}  # fmt: skip
    assert not check(document).correct
    assert check(document, json.dumps(dictionary)).correct


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("roles: []", "no document is known by this key; known: healthsync, access_control"),
        ("- 1", "needs one of these at the top: healthsync"),
        ("", "the file is empty"),
        ("tables: {x: {}}", "the dictionary reads `tables:"),
        ("healthsync: {htp: 1}", "unknown key; did you mean http?"),
        ("access_control: !!python/name:os.system", "this is not YAML"),
    ],
)
def test_what_is_no_document_is_answered_with_what_would_be(check, text, sentence):
    assert sentence in str(check(text).problems[0])


def test_a_file_that_is_not_text_is_a_fault_of_that_file_only(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.yaml").write_text(CORRECT["connectors"])
    wrong, right = check_documents([tmp_path / "a.yaml", tmp_path / "b.yaml"], environ={})
    assert "it is not UTF-8 text" in str(wrong.problems[0])
    assert right.correct
