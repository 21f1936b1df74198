"""Questions over MLLP: each of the cases of IHE ITI-9 and ITI-21 is answered in the standard's own terms."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.consents import opt_out

from healthsync.domains.access import RolePolicy
from healthsync.domains.directory import Partner, PartnerState
from healthsync.errors import InvalidInput, Unavailable
from healthsync.exchange.administration.onboard_partner import OnboardPartner

from .conftest import GENERAL, MERCY, OTHER, PEER, Asking, patient

PIX = "QPD|IHE PIX Query|t1|{number}^^^&{authority}&ISO^MR|{domains}"
PDQ = "QPD|IHE PDQ Query|t1|{fields}|||||{domains}"


def pix(number: str = "M-1", authority: str = "1.2.3", domains: str = "") -> str:
    return PIX.format(number=number, authority=authority, domains=domains)


def pdq(*fields: str, domains: str = "") -> str:
    return PDQ.format(fields="~".join(fields), domains=domains)


async def two_facilities(ask: Asking) -> None:
    await ask.know(patient("M-1"))
    await ask.know(patient("G-1", GENERAL))


async def test_a_number_leads_to_the_other_numbers_of_the_person_and_to_no_name(ask: Asking) -> None:
    await two_facilities(ask)
    answer = await ask("QBP^Q23^QBP_Q21", pix(), "RCP|I")
    assert [s.name for s in answer.segments] == ["MSH", "MSA", "QAK", "QPD", "PID"]
    assert (answer.get("MSH-9.1"), answer.get("MSH-9.2"), answer.get("MSH-9.3")) == ("RSP", "K23", "RSP_K23")
    assert (answer.get("MSA-1"), answer.get("MSA-2")) == ("AA", "Q-1")
    assert (answer.get("QAK-1"), answer.get("QAK-2")) == ("t1", "OK")
    pid = answer.segments[-1]
    assert pid.raw_field(3) == "G-1^^^&1.5.6&ISO^MR"
    assert pid.raw_field(5) == "~^^^^^^S"
    assert answer.segments[3].raw == pix()


async def test_each_case_of_a_pix_query_is_told_apart(ask: Asking) -> None:
    await two_facilities(ask)
    for query, status, places, code in (
        (pix(domains="^^^&1.5.6&ISO"), "OK", [], set()),
        (pix(domains="^^^&1.2.3&ISO"), "NF", [], set()),
        (pix("M-9"), "AE", ["QPD^1^3^1^1"], {"204"}),
        (pix(authority="1.7"), "AE", ["QPD^1^3^1^4"], {"204"}),
        (pix(domains="^^^&1.5.6&ISO~^^^&1.7&ISO~^^^&1.8&ISO"), "AE", ["QPD^1^4^2", "QPD^1^4^3"], {"204"}),
        ("QPD|IHE PIX Query|t1|", "AE", ["QPD^1^3^1^1"], {"101"}),
    ):
        answer = await ask("QBP^Q23^QBP_Q21", query, "RCP|I")
        assert (answer.get("QAK-2"), answer.get("MSA-1")) == (status, "AE" if status == "AE" else "AA")
        assert [error.raw_field(2) for error in answer.all("ERR")] == places
        assert {error.get(3) for error in answer.all("ERR")} == code
        assert bool(answer.all("PID")) is (status == "OK")
    stranger = patient("M-1", name=[{"family": "Marrow", "given": ["Hob"]}], gender="male", birthDate="1930-01-02")
    await ask.know(stranger)
    answer = await ask("QBP^Q23^QBP_Q21", pix(), "RCP|I")
    assert (answer.get("QAK-2"), answer.get("ERR-3")) == ("AE", "205"), "a number that several persons bear"


async def test_demographics_find_patients_and_show_them_in_pid(ask: Asking) -> None:
    await two_facilities(ask)
    answer = await ask("QBP^Q22^QBP_Q21", pdq("@PID.5.1^QUEN*", "@PID.7^19710309", "@PID.8^F"), "RCP|I")
    assert (answer.get("MSH-9.2"), answer.get("MSH-9.3"), answer.get("QAK-2")) == ("K22", "RSP_K21", "OK")
    assert [answer.get(f"QAK-{n}") for n in (4, 5, 6)] == ["2", "2", "0"]
    assert [(pid.get(1), pid.get(3), pid.get(5), pid.get(7)) for pid in answer.all("PID")] == [
        ("1", "M-1", "Quennell", "19710309"),
        ("2", "G-1", "Quennell", "19710309"),
    ]


async def test_who_was_merged_away_is_no_patient_of_an_answer(ask: Asking) -> None:
    survivor = await ask.know(patient("M-1"))
    gone = {"active": False, "link": [{"type": "replaced-by", "other": {"reference": f"Patient/{survivor}"}}]}
    await ask.know(patient("M-2", **gone))
    answer = await ask("QBP^Q22^QBP_Q21", pdq("@PID.5.1^QUEN*"), "RCP|I")
    assert [pid.get(3) for pid in answer.all("PID")] == ["M-1"]
    assert answer.get("QAK-4") == "1"


async def test_patients_are_found_by_the_fields_of_the_standard(ask: Asking) -> None:
    maiden = "http://hl7.org/fhir/StructureDefinition/patient-mothersMaidenName"
    await ask.know(patient("M-1", address=[{"city": "Holbrook"}], extension=[{"url": maiden, "valueString": "Tarn"}]))
    await ask.know(patient("G-1", GENERAL))
    for fields, found in (
        (["@PID.3.1^M-1", "@PID.3.4.2^1.2.3", "@PID.3.4.3^ISO"], ["M-1"]),
        (["@PID.3.4^&1.2.3&ISO"], ["M-1"]),
        (["@PID.5.1.1^quennell", "@PID.5.2^ott"], ["M-1", "G-1"]),
        (["@PID.11.3^Holbrook"], ["M-1"]),
        (["@PID.6.1^Tarn"], ["M-1"]),
        (["@PID.8^M"], []),
    ):
        answer = await ask("QBP^Q22^QBP_Q21", pdq(*fields), "RCP|I")
        assert [pid.get(3) for pid in answer.all("PID")] == found
        assert answer.get("QAK-2") == ("OK" if found else "NF")


async def test_what_cannot_be_asked_is_named_with_its_place_and_recorded(ask: Asking) -> None:
    await ask.know(patient("M-1"))
    for query, place, code in (
        (pdq("@PID.5.1^Q", domains="^^^&1.2.3&ISO~^^^&1.7&ISO"), "QPD^1^8^2", "204"),
        (pdq("@PID.5.1^Q", "@PID.99^x"), "QPD^1^3^2^1", "103"),
        (pdq("@PID.7^19710231"), "QPD^1^3", "102"),
        (pdq("@PID.5.1^Q") + "\rDSC|abc|I", "DSC^1^1", "204"),
    ):
        answer = await ask("QBP^Q22^QBP_Q21", query)
        assert (answer.get("MSA-1"), answer.get("QAK-2"), answer.get("ERR-3")) == ("AE", "AE", code)
        assert answer.all("ERR")[0].raw_field(2) == place
    assert {outcome for _, outcome, *_ in await ask.audited()} == {"4"}


async def test_domains_narrow_who_is_found_and_which_numbers_are_told(ask: Asking) -> None:
    await ask.know(patient("M-1", identifier=[{"system": MERCY, "value": "M-1"}, {"system": OTHER, "value": "O-1"}]))
    await ask.know(patient("G-1", GENERAL))
    answer = await ask("QBP^Q22^QBP_Q21", pdq("@PID.5.1^Quennell", domains="^^^&1.9&ISO"), "RCP|I")
    assert [pid.raw_field(3) for pid in answer.all("PID")] == ["O-1^^^&1.9&ISO"]


async def test_an_answer_of_limited_size_goes_on_where_it_left_off(ask: Asking) -> None:
    for number in range(5):
        await ask.know(patient(f"M-{number}", birthDate=f"1971-03-0{number + 1}"))
    seen, tail, remaining = [], (), []
    for control_id in ("Q-1", "Q-2", "Q-3"):
        answer = await ask("QBP^Q22^QBP_Q21", pdq("@PID.5.1^Quennell"), "RCP|I|2^RD", *tail, control_id=control_id)
        seen += [pid.get(3) for pid in answer.all("PID")]
        remaining.append(answer.get("QAK-6"))
        pointer = answer.get("DSC-1")
        tail = (f"DSC|{pointer}|I",)
    assert seen == [f"M-{number}" for number in range(5)]
    assert remaining == ["3", "1", "0"]
    assert pointer == ""
    first = await ask("QBP^Q22^QBP_Q21", pdq("@PID.5.1^Quennell"), "RCP|I|1^RD")
    tail = (f"DSC|{first.get('DSC-1')}|I",)
    other = await ask("QBP^Q22^QBP_Q21", pdq("@PID.5.1^Q"), "RCP|I|1^RD", *tail)
    assert (other.get("MSA-1"), other.all("ERR")[0].raw_field(2)) == ("AE", "DSC^1^1"), "a pointer of another query"


async def test_a_partner_is_told_what_its_role_shows_and_nothing_without_one(
    ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask.know(patient("M-1"))
    in_domain = pdq("@PID.5.1^Quennell", domains="^^^&1.2.3&ISO")

    async def refused(*queries: tuple[str, str]) -> str:
        for trigger, query in queries:
            answer = await ask(f"QBP^{trigger}^QBP_Q21", query, "RCP|I")
            assert (answer.get("MSA-1"), answer.get("QAK-2"), answer.all("PID")) == ("AR", "AR", [])
        return answer.get("ERR-8")

    await ask.may(None, None)
    assert "partner queries" in await refused(("Q23", pix()))
    assert await ask.audited() == [("query-identifiers", "4", "role", "mercy")]

    await ask.may("researcher", "HRESCH")
    await refused(("Q22", pdq("@PID.5.1^Q")), ("Q22", in_domain), ("Q23", pix()))

    await ask.may("billing", "HPAYMT")
    (pid,) = (await ask("QBP^Q22^QBP_Q21", pdq("@PID.5.1^Quennell"), "RCP|I")).all("PID")
    assert (pid.get(3), pid.get(5), pid.get(7), pid.get(8)) == ("M-1", "Quennell", "", "")
    await refused(("Q22", pdq("@PID.7^19710309")))

    monkeypatch.setitem(RolePolicy.load().elements, "billing", {"Patient": frozenset({"name"})})  # type: ignore[arg-type]
    await refused(("Q23", pix()), ("Q22", in_domain))
    (pid,) = (await ask("QBP^Q22^QBP_Q21", pdq("@PID.5.1^Quennell"), "RCP|I")).all("PID")
    assert pid.get(5) == "Quennell"
    assert pid.get(3) != "M-1", "a number that the role hides gives way to the hub's own, because PID-3 is required"
    refusals = [reason for _, outcome, reason, _ in await ask.audited() if outcome == "4"]
    assert set(refusals) == {"role"}


async def test_who_withholds_his_record_is_nobody_to_a_query(ask: Asking) -> None:
    await two_facilities(ask)
    hidden = await ask.know(patient("H-1", OTHER))
    consent = opt_out(hidden)
    await ask.know(consent)
    for trigger, query in (("Q23", pix()), ("Q23", pix("H-1", "1.9")), ("Q22", pdq("@PID.5.1^Quennell"))):
        answer = await ask(f"QBP^{trigger}^QBP_Q21", query, "RCP|I")
        assert answer.all("PID") == []
        assert answer.get("QAK-2") in ("NF", "AE")


async def test_an_answer_is_recorded_with_the_patients_and_leaves_nothing_to_process(ask: Asking) -> None:
    await two_facilities(ask)
    await ask("QBP^Q23^QBP_Q21", pix(), "RCP|I")
    await ask("QBP^Q22^QBP_Q21", pdq("@PID.5.1^Quennell"), "RCP|I")
    assert await ask.audited() == [
        ("query-demographics", "0", None, "mercy"),
        ("query-identifiers", "0", None, "mercy"),
    ]
    async with ask.hub.database.connection() as tx:
        assert await tx.fetchval("SELECT count(*) FROM message") == 0
        rows = await ask.hub.audit.search(tx, count=1)
    assert rows[0].entry["purpose_of_use"] == "TREAT"
    assert len(rows[0].entry["patients"]) == 2
    assert "Quennell" not in str(rows[0].entry)


async def test_a_query_that_cannot_be_answered_now_is_told_so_and_never_hangs(
    ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("the database is away")

    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    flow = ask.hub.receive_message._answer_query
    assert flow is not None
    monkeypatch.setattr(flow, "_timeout_seconds", 0.05)
    for fault, told in ((away, "ask again later"), (hang, "ask again later"), (None, "it was logged")):
        monkeypatch.setattr(ask.hub.disclose, "cross_references", fault)
        answer = await ask("QBP^Q23^QBP_Q21", pix(), "RCP|I")
        assert (answer.get("MSA-1"), answer.get("QAK-2"), answer.get("ERR-3")) == ("AE", "AE", "207")
        assert told in answer.get("ERR-8")
    monkeypatch.setattr("healthsync.exchange.answer_query._MOST_WAITING", 0)
    assert "ask again later" in (await ask("QBP^Q23^QBP_Q21", pix(), "RCP|I")).get("ERR-8")


async def test_what_is_no_question_about_patients_gets_an_acknowledgement(ask: Asking) -> None:
    taken_back = await ask("QCN^J01^QCN_J01", "QID|t1|IHE PDQ Query")
    assert (taken_back.get("MSH-9.1"), taken_back.get("MSA-1")) == ("ACK", "AA")
    other = await ask("QBP^Q21^QBP_Q21", "QPD|x|t1")
    assert (other.get("MSH-9.1"), other.get("MSA-1")) == ("ACK", "AR")
    assert "QBP^Q22" in other.get("ERR-8")
    async with ask.hub.database.transaction() as tx:
        await ask.hub.directory.set_state(tx, "mercy", PartnerState.PAUSED)
    ask.hub.receive_message._partners_at = float("-inf")  # the directory was read a moment ago
    paused = await ask("QBP^Q23^QBP_Q21", pix(), "RCP|I")
    assert (paused.get("MSH-9.1"), paused.get("MSA-1")) == ("ACK", "AE")


async def test_queries_and_messages_of_one_frame_are_answered_together_in_order(ask: Asking) -> None:
    await two_facilities(ask)
    head = "MSH|^~\\&|EPIC|MERCY|HUB|HIE|20240301120000+0000||{}|{}|P|2.5"
    frame = "\r".join(
        (head.format("QBP^Q23^QBP_Q21", "Q-1"), pix(), head.format("ADT^A01^ADT_A01", "A-1"), "PID|1||5^^^M||Doe", "")
    )
    answer = await ask.hub.receive_message(frame.encode(), PEER)
    assert answer is not None
    assert [line.split("|")[2] for line in answer.decode().split("\r") if line.startswith("MSA")] == ["Q-1", "A-1"]


async def test_a_partner_is_allowed_to_ask_by_the_operator_and_only_if_it_is_known_for_sure(hub: Any) -> None:
    flow = OnboardPartner(database=hub.database, directory=hub.directory, audit=hub.audit)
    await flow.add("sure", operator="op", addresses=["192.0.2.0/24"], role="nurse")
    await flow.add("anyone", operator="op", sending_facility="ANY")
    with pytest.raises(InvalidInput, match="header alone"):
        await flow.allow_queries("anyone", "op", "nurse")
    with pytest.raises(InvalidInput, match="no role"):
        await flow.allow_queries("sure", "op", "surgeon")
    with pytest.raises(InvalidInput, match="no purpose"):
        await flow.allow_queries("sure", "op", "nurse", "HPAYMT")
    with pytest.raises(InvalidInput, match="name both"):
        await flow.allow_queries("sure", "op", None, "TREAT")
    await flow.allow_queries("sure", "op", "billing", "HPAYMT")
    known = {p.name: p for p in await flow.partners()}
    assert (known["sure"].query_role, known["sure"].query_purpose) == ("billing", "HPAYMT")
    await flow.allow_queries("sure", "op", None)
    known = {p.name: p for p in await flow.partners()}
    assert known["sure"].query_role is None
    assert replace(known["sure"]).has_certificate is False
    assert Partner("c", certificate_subject="CN=c").has_certificate
