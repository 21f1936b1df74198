"""Units, normal forms and enrichment: what each costs, alone and for a whole message. In this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks import messages
from benchmarks.harness import Aim, Options, Result, scenario, time_calls
from healthsync.domains.enrichment import EnrichmentTables, enriched
from healthsync.exchange.normal_forms import in_normal_forms
from healthsync.settings.documents.enrichment import CodeDisplay, Organisation, Place, Provider, Rows
from healthsync.standards.hl7v2 import Message
from healthsync.standards.maps import MappingContext, convert
from healthsync.standards.normalise import (
    AS_SENT,
    Conventions,
    normalise_address,
    normalise_birth_date,
    normalise_phone,
    parse_name,
)
from healthsync.standards.units import convert as convert_unit
from healthsync.standards.units import measurand_of, ucum_codes

_NAME = "normal forms"
_TODAY = date(2026, 11, 25)
_CONTEXT = MappingContext(
    source="bench",
    resource_id=lambda resource_type, key: f"{abs(hash((resource_type, key))):032x}",
    timezone=ZoneInfo("UTC"),
    received_at=datetime(2026, 11, 25, 12, tzinfo=UTC),
)


@scenario("normal_forms")
async def normal_forms(options: Options) -> AsyncIterator[Result]:
    """Conversions, normalisers and enrichment a second, and what they add to a message."""
    for name, call in _single().items():
        aim = Aim(50_000) if name == "quantity to its canonical unit" else None
        yield _rate(time_calls(_NAME, name, call, options), aim)
    for name, call in _whole_messages().items():
        yield time_calls(_NAME, name, call, options)


def _rate(result: Result, aim: Aim | None) -> Result:
    a_second = 1e6 / result.value
    return Result(_NAME, result.name, a_second, "/s", aim, details=result.details, load_average=result.load_average)


def _single() -> dict[str, Any]:
    glucose = measurand_of("2345-7")
    assert glucose is not None
    value, numbers = Decimal("5.5"), iter(range(10**9))
    return {
        "quantity to its canonical unit": lambda: convert_unit(value, "mmol/L", glucose),
        "spelling of a unit, seen before": lambda: ucum_codes("x10^3/uL"),
        "spelling of a unit, new": lambda: ucum_codes.__wrapped__("x10^3/uL"),
        "birth date": lambda: normalise_birth_date("05/15/1980", today=_TODAY),
        "name": lambda: parse_name("VAN DER BERG, JAN PIETER III"),
        "telephone number, new": lambda: normalise_phone(f"(202) {next(numbers) % 10_000_000:07}"),
        "address": lambda: normalise_address(["123 NORTH MAIN STREET APT 2"], "SPRINGFIELD", "Illinois", "627011234"),
    }


def _whole_messages() -> dict[str, Any]:
    results = convert(Message.parse(messages.oru(1, 1)), _CONTEXT)
    admission = convert(Message.parse(messages.adt(1)), _CONTEXT)
    all_forms = Conventions(names=True, phones=True, addresses=True)
    tables = EnrichmentTables.of(_rows())
    without_displays = EnrichmentTables.of(Rows(_rows().places, _rows().providers, _rows().organisations))
    identify = _CONTEXT.resource_id
    return {
        "canonical quantities of an ORU with 30 OBX": lambda: in_normal_forms(results, AS_SENT),
        "all normal forms of an ADT": lambda: in_normal_forms(admission, all_forms),
        "enrichment of an ORU with 30 OBX, 10,000 providers": lambda: enriched(results, without_displays, identify),
        "enrichment of an ORU with 30 OBX, with displays": lambda: enriched(results, tables, identify),
        "enrichment of an ADT, 10,000 providers": lambda: enriched(admission, tables, identify),
    }


def _rows() -> Rows:
    return Rows(
        places=(Place("3WEST", place_of_service="21", organisation="BENCH"),),
        providers=tuple(
            Provider(str(number), family="Known", taxonomy="207R00000X", organisation="BENCH")
            for number in range(4000, 14_000)
        ),
        organisations=(Organisation("BENCH", name="Bench Hospital"),),
        codes=tuple(CodeDisplay("http://loinc.org", f"{number}-0", "display") for number in range(10_000)),
    )
