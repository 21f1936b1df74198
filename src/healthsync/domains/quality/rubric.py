"""The rules: those that ship with the hub, and over them those of the operator's document."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from typing import Any

from healthsync.domains.quality.checks import CHECKS, Judge, plausible
from healthsync.domains.quality.model import Dimension, Rule
from healthsync.errors import InvalidInput
from healthsync.settings.documents.validation_rules import FieldRule, ValidationRulesDocument, ValueRange
from healthsync.shipped import shipped_yaml
from healthsync.standards.logical_tables import LogicalColumn, LogicalTables
from healthsync.standards.units import ucum_code

WHOLE = "Message"
"""What a rule is `of` that judges the message as a whole."""

_DOCUMENT = "validation_rules document of the operator"
_REQUIRED_WEIGHT, _FORM_WEIGHT = 5, 3


@dataclass(frozen=True)
class Rubric:
    """Rules, each once."""

    rules: tuple[Rule, ...]

    @cached_property
    def by_type(self) -> Mapping[str, Sequence[Rule]]:
        """The rules by what they judge."""
        found: dict[str, list[Rule]] = {}
        for rule in self.rules:
            found.setdefault(rule.of, []).append(rule)
        return found

    def rule(self, id_: str) -> Rule | None:
        """The rule of this name."""
        return next((rule for rule in self.rules if rule.id == id_), None)


def load_rubric(
    tables: LogicalTables,
    document: ValidationRulesDocument | None = None,
    own: Mapping[str, Any] | None = None,
) -> Rubric:
    """The shipped rubric, the lines of an operator's `own` rubric (a parsed document of the same form; a line of the
    same id replaces ours), and the rules of a `validation_rules` document, each in the place of ours about the same
    column.

    Raises InvalidInput, which names the line, for one that cannot be read.
    """
    lines = {line["id"]: line for line in _shipped()["rules"]}
    ranges = dict(_shipped()["plausible"])
    if own is not None:
        lines |= {_id_of(line): line for line in own.get("rules") or ()}
        ranges |= own.get("plausible") or {}
    if document is not None and document.observation_validation is not None:
        ranges |= document.observation_validation.value_ranges
    rules = [_rule(line) for line in lines.values()]
    rules.append(_plausibility(tables, ranges))
    demanded = list(_demanded(tables, document)) if document is not None else []
    replaced = {(rule.column, rule.dimension) for rule in demanded}
    kept = [rule for rule in rules if rule.column is None or (rule.column, rule.dimension) not in replaced]
    return Rubric((*kept, *demanded))


@cache
def _shipped() -> Mapping[str, Any]:
    return shipped_yaml("healthsync.domains.quality", "rubric.yaml")


def _id_of(line: Any) -> str:
    if not isinstance(line, Mapping) or not isinstance(line.get("id"), str):
        raise InvalidInput("a rule of a rubric is a mapping with an id", code="required")
    return line["id"]


def _rule(line: Mapping[str, Any]) -> Rule:
    id_ = _id_of(line)
    try:
        check = CHECKS[line["check"]]
        with_ = {name: value for name, value in line.items() if name not in _OF_THE_LINE}
        return Rule(
            id=id_,
            dimension=Dimension(line["dimension"]),
            of=line["of"],
            weight=int(line.get("weight", 1)),
            judge=check(**{"minimum" if n == "min" else "maximum" if n == "max" else n: v for n, v in with_.items()}),
            because=line["because"],
            source=line["source"],
            critical=bool(line.get("critical", False)),
            column=line.get("column"),
        )
    except KeyError as missing:
        raise InvalidInput(f"rule {id_}: {missing} is missing or no check; checks are {', '.join(CHECKS)}") from None
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"rule {id_}: {error}") from None


_OF_THE_LINE = frozenset({"id", "dimension", "of", "check", "weight", "because", "source", "critical", "column"})


# What the operator's document demands.


def _demanded(tables: LogicalTables, document: ValidationRulesDocument) -> Iterator[Rule]:
    if document.patient_validation is None:
        return
    for name in document.patient_validation.required_fields:
        column = tables.column("patients", name)
        yield _of_column(column, f"required-{_kebab(name)}", Dimension.COMPLETENESS, _REQUIRED_WEIGHT,
                         CHECKS["present"](paths=[column.path]), f"{name} is a required field")  # fmt: skip
    for name, rule in (document.patient_validation.rules or {}).items():
        column = tables.column("patients", name)
        judges = list(_forms(column.path, rule))
        if judges:
            yield _of_column(column, f"valid-{_kebab(name)}", Dimension.ACCURACY, _FORM_WEIGHT, _all_of(judges),
                             f"{name} is {rule.describe()}")  # fmt: skip


def _of_column(column: LogicalColumn, id_: str, dimension: Dimension, weight: int, judge: Judge, because: str) -> Rule:
    name = f"{column.table}.{column.name}"
    return Rule(id_, dimension, column.fhir_type, weight, judge, because, _DOCUMENT, column=name)


def _forms(path: str, rule: FieldRule) -> Iterator[Judge]:
    if rule.format is not None:
        yield CHECKS["dated"](path=path)
    if rule.min is not None or rule.max is not None:
        yield CHECKS["within"](path=path, minimum=rule.min, maximum=rule.max)
    if rule.allowed_values is not None:
        yield CHECKS["one-of"](path=path, values=rule.allowed_values)
    if rule.pattern is not None:
        yield CHECKS["like"](path=path, pattern=rule.pattern)


def _all_of(judges: Sequence[Judge]) -> Judge:
    def judge(resource: Any, content: Any) -> bool | None:
        found = [each(resource, content) for each in judges]
        return None if all(one is None for one in found) else all(one is None or bool(one) for one in found)

    return judge


def _plausibility(tables: LogicalTables, ranges: Mapping[str, Mapping[str, Any] | ValueRange]) -> Rule:
    limits = {code: limit for name, given in ranges.items() for code, limit in _limits(tables.measurement(name), given)}
    return Rule(
        "observation-plausible", Dimension.ACCURACY, "Observation", 3, plausible(limits),
        "a value that no living person has is a wrong number, a wrong unit or a wrong code",
        "requirements-hie-hub, observation_validation; ranges of the rubric and of the operator",
    )  # fmt: skip


def _limits(
    column: LogicalColumn, given: Mapping[str, Any] | ValueRange
) -> Iterable[tuple[str, tuple[Decimal, Decimal, str]]]:
    low, high, unit = (
        (given.min, given.max, given.unit)
        if isinstance(given, ValueRange)
        else (given["min"], given["max"], given["unit"])
    )
    limit = (Decimal(str(low)), Decimal(str(high)), ucum_code(unit) or unit)
    return [(code, limit) for code in _codes(column.select)]


def _codes(select: str | None) -> list[str]:
    """The LOINC codes that a column's search parameters pick."""
    _, _, values = (select or "").partition("code=")
    return [value.rpartition("|")[2] for value in values.split(",") if value.startswith("http://loinc.org|")]


def _kebab(name: str) -> str:
    return name.replace("_", "-")
