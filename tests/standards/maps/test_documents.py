"""Documents in results and in MDM: kept byte for byte, once, and found from the report."""

from __future__ import annotations

import base64
import hashlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.standards.maps import Conversion

from .test_orders import message, of_type, only, stored

OBR = "OBR|1|PO1^EHR|F1^LAB|PN^Panel^L|||20240301080000+0000|||||||||||||||20240301100000+0000||LAB|F"
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 4


def result(*obx: str) -> Conversion:
    return message("ORU^R01^ORU_R01", "ORC|RE|PO1^EHR|F1^LAB", OBR, *obx)


def contents(conversion: Conversion) -> list[bytes]:
    return [base64.b64decode(binary["data"]) for binary in of_type(conversion, "Binary")]


def cut(text: str, count: int) -> list[str]:
    size = -(-len(text) // count)
    return [text[at : at + size] for at in range(0, len(text), size)]


ENCODED = base64.b64encode(PDF).decode()


@pytest.mark.parametrize(
    "obx",
    [
        [f"OBX|1|ED|DOC^Report^L||LAB^application^pdf^Base64^{ENCODED}||||||F"],
        [f"OBX|1|ED|DOC^Report^L||LAB^AP^PDF^Hex^{PDF.hex()}||||||F"],
        [f"OBX|1|TX|DOC^Report^L||{ENCODED}||||||F"],
        [f"OBX|1|ST|DOC^Report^L||LAB^application^pdf^Base64^{ENCODED}||||||F"],
        ["OBX|1|FT|DOC^Report^L||" + "~".join(cut(ENCODED, 5)) + "||||||F"],
        ["OBX|1|TX|DOC^Report^L||" + r"\.br\ ".strip().join(cut(ENCODED, 5)) + "||||||F"],
        [f"OBX|{at}|TX|DOC^Report^L|{at}|{piece}||||||F" for at, piece in enumerate(cut(ENCODED, 7), 1)],
        [f"OBX|{at}|ED|DOC^Report^L||LAB^application^pdf^Base64^{piece}||||||F" for at, piece in enumerate(cut(ENCODED, 3), 1)],
        ["OBX|1|ED|DOC^Report^L||" + "~".join(f"LAB^application^pdf^Base64^{p}" for p in cut(ENCODED, 4)) + "||||||F"],
    ],
    ids=["base64", "hex", "text", "ed-in-text", "repetitions", "line-breaks", "several-obx", "several-ed", "ed-repetitions"],
)  # fmt: skip
def test_a_document_is_kept_byte_for_byte_however_it_is_cut(obx: list[str]) -> None:
    conversion = result(*obx)
    assert contents(conversion) == [PDF]
    binary, reference = only(conversion, "Binary"), only(conversion, "DocumentReference")
    assert binary["contentType"] == "application/pdf"
    assert binary["securityContext"] == {"reference": f"DocumentReference/{reference['id']}"}
    attachment = reference["content"][0]["attachment"]
    assert attachment["size"] == len(PDF)
    assert attachment["hash"] == base64.b64encode(hashlib.sha1(PDF, usedforsecurity=False).digest()).decode()
    assert attachment["url"] == f"Binary/{binary['id']}"
    assert only(conversion, "DiagnosticReport")["presentedForm"] == [attachment]
    assert len(of_type(conversion, "Observation")) == 1
    assert "valueString" not in only(conversion, "Observation")


@settings(max_examples=50)
@given(st.binary(min_size=40, max_size=400), st.integers(1, 6))
def test_any_content_survives_any_cut(content: bytes, count: int) -> None:
    encoded = base64.b64encode(b"%PDF-" + content).decode()
    pieces = [f"OBX|{at}|TX|DOC^Report^L||{piece}||||||F" for at, piece in enumerate(cut(encoded, count), 1)]
    if len(cut(encoded, count)[0]) < 64:
        return  # what begins like a document and is no longer than a word is a word
    assert contents(result(*pieces)) == [b"%PDF-" + content]


def test_a_large_document_is_kept_whole() -> None:
    content = b"%PDF-1.7\n" + random.Random(7).randbytes(820_000)
    conversion = result(
        f"OBX|1|ED|DOC^Report^L||LAB^application^pdf^Base64^{base64.b64encode(content).decode()}||||||F"
    )
    assert contents(conversion) == [content]


def test_a_cda_document_sent_as_text_is_not_cut_at_its_carets() -> None:
    cda = '<ClinicalDocument xmlns="urn:hl7-org:v3"><title>a^b&amp;c</title></ClinicalDocument>'
    conversion = result(f"OBX|1|ED|CDA^Document^L||LAB^text^xml^A^{cda}||||||F")
    assert contents(conversion) == [cda.encode()]
    assert only(conversion, "Binary")["contentType"] == "text/xml"


def test_two_documents_in_one_field_stay_two() -> None:
    other = base64.b64encode(b"%PDF-2.0 " + b"other" * 20).decode()
    conversion = result(
        f"OBX|1|ED|DOC^Report^L||LAB^application^pdf^Base64^{ENCODED}~LAB^application^pdf^Base64^{other}||||||F"
    )
    assert contents(conversion) == [PDF, b"%PDF-2.0 " + b"other" * 20]
    assert len(only(conversion, "DiagnosticReport")["presentedForm"]) == 2


def test_a_word_that_begins_like_a_document_stays_a_word() -> None:
    conversion = result("OBX|1|ST|T1^Item^L||JVBERi0x||||||F")
    assert only(conversion, "Observation")["valueString"] == "JVBERi0x"
    assert of_type(conversion, "Binary") == []


def test_a_pointer_leads_to_where_the_document_is() -> None:
    conversion = result("OBX|1|RP|IMG^Images^L||https://pacs.example.org/1^PACS^application^dicom||||||F")
    assert only(conversion, "DocumentReference")["content"][0]["attachment"]["url"] == "https://pacs.example.org/1"
    assert of_type(conversion, "Binary") == []


def test_a_corrected_document_takes_the_place_of_the_first_and_a_withdrawn_one_is_an_error() -> None:
    def sent(content: bytes, status: str) -> Conversion:
        return result(f"OBX|1|ED|DOC^R^L||^application^pdf^Base64^{base64.b64encode(content).decode()}||||||{status}")

    resources = stored(sent(b"%PDF-old", "F"), sent(b"%PDF-new", "C"))
    kept = [r for r in resources.values() if r["resourceType"] in ("Binary", "DocumentReference")]
    assert sorted(r["resourceType"] for r in kept) == ["Binary", "DocumentReference"]
    assert base64.b64decode(next(r for r in kept if "data" in r)["data"]) == b"%PDF-new"
    resources = stored(sent(b"%PDF-old", "F"), sent(b"%PDF-old", "W"))
    (document,) = [r for r in resources.values() if r["resourceType"] == "DocumentReference"]
    assert document["status"] == "entered-in-error"


# --- MDM ---

VISIT = "PV1|1|I|||||||||||||||||V1^^^ZHOSP^VN"


def mdm(event: str, number: str, *lines: str, parent: str = "", status: str = "", completion: str = "LA") -> Conversion:
    txa = f"TXA|1|DS^Discharge summary^L|TX|||||||||{number}^DICT|{parent}||||{completion}||{status}"
    return message(f"MDM^{event}^MDM_T02", VISIT, txa, *lines)


def documents(*conversions: Conversion) -> dict[str, dict[str, Any]]:
    found = [r for r in stored(*conversions).values() if r["resourceType"] == "DocumentReference"]
    return {document["masterIdentifier"]["value"]: document for document in found}


def test_the_lines_of_a_document_are_one_text() -> None:
    conversion = mdm(
        "T02", "D1", "OBX|1|TX|T^Text^L||First~second||||||F", "OBX|2|TX|T^Text^L||||||||F",
        r"OBX|3|FT|T^Text^L||a \T\ b\.br\end||||||F",
    )  # fmt: skip
    assert contents(conversion) == [b"First\nsecond\n\na & b\nend"]


def test_a_replacement_supersedes_whichever_of_the_two_comes_first() -> None:
    first = mdm("T02", "D1", "OBX|1|TX|T^Text^L||old||||||F")
    second = mdm("T10", "D2", "OBX|1|TX|T^Text^L||new||||||F", parent="D1^DICT")
    for order in ((first, second), (second, first)):
        found = documents(*order)
        assert (found["D1"]["status"], found["D2"]["status"]) == ("superseded", "current")
        assert found["D2"]["relatesTo"][0]["code"] == "replaces"
        assert "url" in found["D1"]["content"][0]["attachment"]


def test_an_addendum_appends_and_the_document_stays_current() -> None:
    found = documents(
        mdm("T06", "D2", "OBX|1|TX|T^Text^L||more||||||F", parent="D1^DICT"),
        mdm("T02", "D1", "OBX|1|TX|T^Text^L||old||||||F"),
    )
    assert found["D2"]["relatesTo"][0]["code"] == "appends"
    assert found["D1"]["status"] == "current"
    assert "url" in found["D1"]["content"][0]["attachment"]


def test_a_status_change_without_content_keeps_the_content() -> None:
    found = documents(mdm("T02", "D1", "OBX|1|TX|T^Text^L||old||||||F", completion="DI"), mdm("T03", "D1"))
    assert found["D1"]["docStatus"] == "final"
    assert "url" in found["D1"]["content"][0]["attachment"]


def test_a_cancelled_document_is_an_error_also_when_the_original_comes_late() -> None:
    original, cancel = mdm("T02", "D1", "OBX|1|TX|T^Text^L||old||||||F"), mdm("T11", "D1")
    assert documents(original, cancel)["D1"]["status"] == "entered-in-error"
    assert documents(cancel, original)["D1"]["status"] == "entered-in-error"


def test_an_edited_document_has_its_new_content() -> None:
    resources = stored(
        mdm("T02", "D1", "OBX|1|TX|T^Text^L||old||||||F"), mdm("T08", "D1", "OBX|1|TX|T^Text^L||new||||||F")
    )
    (binary,) = [r for r in resources.values() if r["resourceType"] == "Binary"]
    assert base64.b64decode(binary["data"]) == b"new"
