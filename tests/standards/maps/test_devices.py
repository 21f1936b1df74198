"""IHE PCD-01, waveforms, OUL, and the results of results."""

from __future__ import annotations

from decimal import Decimal

import pytest

from .test_orders import message, of_type, only, stored

OBR = "OBR|1|||69837^MDC_OBS_NOS^MDC|||20240301121500+0000|||||||||||||||||||F"
MDS = "OBX|1||69965^MDC_DEV_MON_MDS^MDC|1.0.0.0|||||||X|||||||0012210000000001^^0012210000000001^EUI-64"
SAT = "OBX|3|NM|150456^MDC_PULS_OXIM_SAT_O2^MDC|1.3.1.150456|98|262688^MDC_DIM_PERCENT^MDC|||||R"


def test_a_measurement_names_its_metric_and_the_metric_its_device() -> None:
    conversion = message("ORU^R01^ORU_R01", OBR, MDS, "OBX|2||69642^MDC_DEV_SAT_VMD^MDC|1.3.0.0|||||||X", SAT)
    monitor, module = of_type(conversion, "Device")
    assert module["parent"] == {"reference": f"Device/{monitor['id']}"}
    metric = only(conversion, "DeviceMetric")
    assert metric["source"] == {"reference": f"Device/{monitor['id']}"}
    assert metric["parent"] == {"reference": f"Device/{module['id']}"}
    observation = only(conversion, "Observation")
    assert observation["device"] == {"reference": f"DeviceMetric/{metric['id']}"}
    assert observation["code"]["coding"][0]["system"] == "urn:iso:std:iso:11073:10101"


@pytest.mark.parametrize(
    ("sent", "ucum"),
    [
        ("262688^MDC_DIM_PERCENT^MDC", "%"), ("266016^MDC_DIM_MMHG^MDC", "mm[Hg]"), ("266016^^MDC", "mm[Hg]"),
        ("264864^MDC_DIM_BEAT_PER_MIN^MDC", "{beats}/min"), ("268192^MDC_DIM_DEGC^MDC", "Cel"),
    ],
)  # fmt: skip
def test_a_unit_of_a_device_is_ucum_and_keeps_its_name(sent: str, ucum: str) -> None:
    conversion = message("ORU^R01", OBR, f"OBX|1|NM|1^X^MDC|1.1.1.1|5|{sent}|||||F")
    quantity = only(conversion, "Observation")["valueQuantity"]
    assert (quantity["system"], quantity["code"]) == ("http://unitsofmeasure.org", ucum)
    assert quantity["unit"] in sent


def test_a_dimension_that_nobody_knows_keeps_its_own_code() -> None:
    quantity = only(message("ORU^R01", OBR, "OBX|1|NM|1^X^MDC|1.1.1.1|5|999999^MDC_DIM_NEW^MDC|||||F"), "Observation")
    assert quantity["valueQuantity"]["system"] == "urn:iso:std:iso:11073:10101"


def test_a_device_without_number_makes_no_device_and_loses_no_measurement() -> None:
    node = "OBX|1||69965^MDC_DEV_MON_MDS^MDC|1.0.0.0|||||||X"
    conversion = message("ORU^R01", OBR, node, SAT)
    assert of_type(conversion, "Device") == of_type(conversion, "DeviceMetric") == []
    assert only(conversion, "Observation")["valueQuantity"]["value"] == 98
    assert conversion.unmapped["OBX-4"] == 1


def test_the_analyser_of_a_laboratory_is_one_device_for_all_its_results() -> None:
    obx = "OBX|{0}|NM|T{0}^Item^L||5||||||F|||||||AU5800^LAB"
    conversion = message("ORU^R01", OBR, obx.format(1), obx.format(2))
    device = {"reference": f"Device/{only(conversion, 'Device')['id']}"}
    assert [found["device"] for found in of_type(conversion, "Observation")] == [device, device]


def test_samples_have_a_period_or_stay_text() -> None:
    rate = "OBX|1|NM|0^MDC_ATTR_SAMP_RATE^MDC|1.1.1.1.1|250|264608^MDC_DIM_HZ^MDC|||||F"
    wave = "OBX|2|NA|131329^MDC_ECG_ELEC_POTL_I^MDC|1.1.1.1|0^-1.5^^2|266418^MDC_DIM_MILLI_VOLT^MDC|||||F"
    sampled = only(message("ORU^R01", OBR, rate, wave), "Observation")["valueSampledData"]
    assert (sampled["period"], sampled["data"], sampled["dimensions"]) == (Decimal(4), "0 -1.5 E 2", 1)
    assert sampled["origin"]["code"] == "mV"
    alone = message("ORU^R01", OBR, wave)
    assert only(alone, "Observation")["valueString"] == "0 -1.5 2"
    assert "value-kept-as-text" in [issue.code for issue in alone.issues]


def test_results_about_a_specimen_and_its_orders_refer_to_it() -> None:
    conversion = message(
        "OUL^R22^OUL_R22", "SPM|1|S1&EHR||SER^Serum^HL70487", "OBX|1|NM|HEM^Hemolysis^L||1||||||F",
        "OBR|1|PO1^EHR|F1^LAB|GLU^Glucose^L|||||||||||||||||||||F", "ORC|RE|PO1^EHR|F1^LAB||CM",
        "OBX|1|NM|GLU^Glucose^L||93||||||F",
        "SPM|2|S2&EHR||UR^Urine^HL70487", "OBR|1|PO2^EHR|F2^LAB|PRO^Protein^L|||||||||||||||||||||F",
        "OBX|1|NM|PRO^Protein^L||5||||||F",
    )  # fmt: skip
    first, second = ({"reference": f"Specimen/{found['id']}"} for found in of_type(conversion, "Specimen"))
    assert [found["specimen"] for found in of_type(conversion, "Observation")] == [first, first, second]
    assert [found["specimen"] for found in of_type(conversion, "DiagnosticReport")] == [[first], [second]]
    assert {found["status"] for found in of_type(conversion, "ServiceRequest")} == {"completed", "unknown"}


def test_a_susceptibility_is_derived_from_the_organism_it_was_tested_on() -> None:
    organisms = [
        "ORC|RE|PO1^EHR|F1^LAB", "OBR|1|PO1^EHR|F1^LAB|CULT^Culture^L|||||||||||||||||||||F",
        "OBX|1|CE|ORG^Organism^L|1|A^Alpha^L||||||F", "OBX|2|CE|ORG^Organism^L|2|B^Beta^L||||||F",
    ]  # fmt: skip
    obr = "OBR|2|PO1^EHR|F2^LAB|SUSC^Susceptibility^L|||||||||||||||||||||F|ORG&Organism&L^2|||PO1&EHR^F1&LAB"
    conversion = message("ORU^R01", *organisms, "ORC|RE|PO1^EHR|F2^LAB", obr, "OBX|1|SN|AMX^Amoxicillin^L||<=^8||||||F")
    alpha, beta, amoxicillin = of_type(conversion, "Observation")
    assert amoxicillin["derivedFrom"] == [{"reference": f"Observation/{beta['id']}"}]
    assert beta["hasMember"] == [{"reference": f"Observation/{amoxicillin['id']}"}]
    assert "hasMember" not in alpha


def test_an_answer_given_with_the_order_is_no_result_of_the_report() -> None:
    conversion = message(
        "ORU^R01", "ORC|RE|PO1^EHR|F1^LAB", "OBR|1|PO1^EHR|F1^LAB|GLU^Glucose^L|||||||||||||||||||||F",
        "OBX|1|ST|FAST^Fasting^L||Y||||||F||||||||||||||||||QST", "OBX|2|NM|GLU^Glucose^L||93||||||F",
    )  # fmt: skip
    assert len(only(conversion, "DiagnosticReport")["result"]) == 1
    assert len(only(conversion, "ServiceRequest")["supportingInfo"]) == 1


def test_participants_of_a_report_and_of_a_result_are_kept_apart() -> None:
    conversion = message(
        "ORU^R01", "ORC|RE|PO1^EHR|F1^LAB", "OBR|1|PO1^EHR|F1^LAB|GLU^Glucose^L|||||||||||||||||||||F",
        "PRT|1|A||PRI^Interpreter^HL70443|11^Radi", "PRT|2|A||OP^Ordering^HL70443|22^Ordo", "OBX|1|NM|GLU^Glucose^L||93||||||F",
        "PRT|3|A||RO^Observer^HL70443|33^Obse", "PRT|4|A||||||||SN1^MAKER", "PRT|5|D||RO^Observer^HL70443|44^Gone",
    )  # fmt: skip
    names = {f"Practitioner/{p['id']}": p["identifier"][0]["value"] for p in of_type(conversion, "Practitioner")}
    report, order, seen = (only(conversion, kind) for kind in ("DiagnosticReport", "ServiceRequest", "Observation"))
    assert [names[who["reference"]] for who in report["resultsInterpreter"]] == ["11"]
    assert names[order["requester"]["reference"]] == "22"
    assert [names[who["reference"]] for who in seen["performer"]] == ["33"]
    assert seen["device"] == {"reference": f"Device/{only(conversion, 'Device')['id']}"}
    assert conversion.unmapped["PRT"] == 1


def test_a_resend_of_a_device_message_changes_nothing() -> None:
    conversion = message("ORU^R01", OBR, MDS, SAT)
    assert stored(conversion) == stored(conversion, conversion)
