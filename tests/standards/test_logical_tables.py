import pytest

from healthsync.errors import InvalidInput
from healthsync.standards.logical_tables import Identifies, LogicalTables, Sensitivity

TABLES = LogicalTables.load()


@pytest.mark.parametrize(
    ("table", "column", "fhir_type", "path"),
    [
        ("patients", "mrn", "Patient", "identifier[MR].value"),
        ("patients", "date_of_birth", "Patient", "birthDate"),
        ("patients", "room", "Encounter", "location.location"),
        ("patients", "medications", "MedicationRequest", "medication"),
        ("vitals", "recorded_at", "Observation", "effectiveDateTime"),
        ("lab_results", "result_value", "Observation", "value"),
        ("medication_orders", "medication", "MedicationRequest", "medication"),
    ],
)
def test_a_name_of_the_configuration_stands_for_one_element_of_fhir(table, column, fhir_type, path):
    meaning = TABLES.column(table, column)
    assert (meaning.fhir_type, meaning.path) == (fhir_type, path)


def test_an_alias_means_the_same_as_the_name():
    assert TABLES.column("patients", "birth_date") is TABLES.column("patients", "dob")


@pytest.mark.parametrize(
    ("name", "unit"),
    [("temperature", "Cel"), ("heart_rate", "/min"), ("spo2", "%"), ("wbc", "/uL"), ("glucose", "mg/dL")],
)
def test_a_measurement_is_found_without_its_table_and_has_a_canonical_unit(name, unit):
    assert TABLES.measurement(name).unit == unit


def test_a_vital_sign_inherits_nothing_from_the_table_when_it_says_what_it_selects():
    assert TABLES.column("vitals", "heart_rate").select == "code=http://loinc.org|8867-4"
    assert TABLES.column("vitals", "value").select == "category=vital-signs"


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: TABLES.column("patient", "mrn"), "unknown table “patient”; did you mean patients?"),
        (lambda: TABLES.column("patients", "mrm"), "unknown column “patients.mrm”; did you mean mrn?"),
        (lambda: TABLES.measurement("heartrate"), "unknown measurement “heartrate”; did you mean heart_rate"),
        (lambda: TABLES.column("appointments", "zzz"), "known names: appointment_id, ends_at,"),
    ],
)
def test_an_unknown_name_is_an_error_that_lists_near_names(ask, sentence):
    with pytest.raises(InvalidInput) as refused:
        ask()
    assert sentence in str(refused.value)
    assert refused.value.code == "not-found"


@pytest.mark.parametrize(
    "column", [column for table in TABLES for column in table], ids=lambda c: f"{c.table}.{c.name}"
)
def test_a_direct_identifier_is_never_of_low_sensitivity(column):
    assert column.identifies is not Identifies.DIRECT or column.sensitivity is not Sensitivity.LOW


def test_an_operator_adds_tables_and_columns_and_replaces_ours():
    extra = {
        "tables": {
            "patients": {
                "fhir_type": "Patient",
                "columns": {"vip": {"path": "extension[vip]", "type": "Extension", "sensitivity": "high"}},
            },
            "beds": {
                "fhir_type": "Location",
                "columns": {"bed": {"path": "name", "type": "string", "sensitivity": "low"}},
            },
        }
    }
    tables = LogicalTables.load(extra)
    assert tables.column("patients", "vip").sensitivity is Sensitivity.HIGH
    assert tables.column("patients", "mrn") == TABLES.column("patients", "mrn")
    assert tables.column("beds", "bed").fhir_type == "Location"


@pytest.mark.parametrize(
    "extra", [{"tables": {"t": {}}}, {"tables": []}, {"tables": {"t": {"fhir_type": "Patient", "columns": {"c": {}}}}}]
)
def test_a_malformed_dictionary_is_refused_with_the_form_it_should_have(extra):
    with pytest.raises(InvalidInput, match="the dictionary reads"):
        LogicalTables.load(extra)
