"""DFT and BAR: charges, credits, accounts that open and close, in whatever order."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import pytest

from .golden_pairs import after, converted

PID = "PID|1||P1^^^ZHOSP^MR||Linnet^Ora|||||||||||||{}"


def message(kind: str, at: str, *segments: str, account: str = "ACC1^^^ZHOSP^AN") -> str:
    header = rf"MSH|^~\&|ZBIL|ZHOSP|ZHUB|ZHIE|20240301{at}00+0000||{kind}|{kind}{at}|P|2.5.1"
    event = kind.partition("^")[2]
    visit = "PV1|1|O|||||||||||||||||V1^^^ZHOSP^VN|||||||||||||||||||||||||20240301070000+0000"
    return "\n".join([header, f"EVN|{event}|20240301{at}00+0000", PID.format(account), visit, *segments])


CHARGE = "FT1|1|T77||20240301100000+0000^20240301103000+0000|20240301|{}|92014^Eye exam^C4|||{}|{}|{}"


def charge(kind: str = "CG", count: str = "1", whole: str = "120.50&USD", one: str = "") -> str:
    return message("DFT^P03", "1600", CHARGE.format(kind, count, whole, one))


def test_a_charge_keeps_its_amount_its_time_and_its_account() -> None:
    told = after(charge(), charge())
    (item,) = told["ChargeItem"]
    assert item["priceOverride"] == {"value": Decimal("120.50"), "currency": "USD"}
    assert item["occurrencePeriod"]["end"] == "2024-03-01T10:30:00+00:00"
    assert item["account"] == [{"reference": f"Account/{told['Account'][0]['id']}"}]


def test_the_amount_of_all_units_is_computed_where_only_that_of_one_was_sent() -> None:
    (item,) = after(charge(count="3", whole="", one="40.10&USD"))["ChargeItem"]
    assert item["priceOverride"]["value"] == Decimal("120.30")


def test_a_credit_is_a_charge_below_zero_and_leaves_the_charge_as_it_was() -> None:
    items = after(charge(), charge("CD"))["ChargeItem"]
    assert [item["priceOverride"]["value"] for item in items] == [Decimal("120.50"), Decimal("-120.50")]


@pytest.mark.parametrize("kind", ["PY", "CO", "AJ"])
def test_a_payment_is_no_charge_and_is_reported(kind: str) -> None:
    conversion = converted(charge(kind))
    assert "ChargeItem" not in {mapped.type for mapped in conversion.resources}
    assert conversion.unmapped["FT1"] == 1
    assert [issue.code for issue in conversion.issues] == ["transaction-is-no-charge"]


@pytest.mark.parametrize("order", list(permutations(["P01", "P05", "P06"])))
def test_an_account_that_was_closed_stays_closed_in_whatever_order_its_messages_come(order: tuple[str, ...]) -> None:
    times = {"P01": "0800", "P05": "0900", "P06": "1700"}
    (account,) = after(*(message(f"BAR^{event}", times[event]) for event in order))["Account"]
    assert account["status"] == "inactive"
    assert account["servicePeriod"]["end"] == "2024-03-01T17:00:00+00:00"


def test_an_account_can_be_opened_again_and_an_admission_does_not_open_it() -> None:
    closed = message("BAR^P06", "1700")
    assert after(closed, message("ADT^A08", "1800"))["Account"][0]["status"] == "inactive"
    assert after(closed, message("BAR^P01", "1900"))["Account"][0]["status"] == "active"


def test_a_bill_without_an_account_is_reported() -> None:
    conversion = converted(message("BAR^P01", "0800", account=""))
    assert "account-without-number" in [issue.code for issue in conversion.issues]


def test_a_procedure_that_is_deleted_was_entered_in_error() -> None:
    pr1 = "PR1|1||92014^Eye exam^C4||20240301100000+0000||||||||||||||PR7^ZHOSP|{}"
    told = after(message("BAR^P12", "0800", pr1.format("A")), message("BAR^P12", "0900", pr1.format("D")))
    assert [one["status"] for one in told["Procedure"]] == ["entered-in-error"]
