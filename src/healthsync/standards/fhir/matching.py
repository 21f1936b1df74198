"""Does a resource satisfy a criterion? The exact answer, in memory (search.html).

The store answers from its index, which may be coarse: text is cut off there, sealed values are tokens. What it cannot
decide is decided here, after decryption. Subscriptions ask the same question about a resource that was just written.

A criterion is about the set of values under its parameter: it holds when some value does, and the negations
(`:not`, `:not-in`, `:missing=true`) when none does. What needs other resources (chains, `_has`, `_list`, hierarchies of
references) is asked `elsewhere`, what needs a terminology is asked `codes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, NamedTuple, NoReturn

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import dates, references
from healthsync.standards.fhir.criteria import (
    And,
    Chain,
    Criterion,
    Has,
    ListMember,
    Node,
    Not,
    Or,
    ThisResource,
    WordSearch,
)
from healthsync.standards.fhir.dates import Prefix
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.index_values import UCUM, normalise, sounds
from healthsync.standards.fhir.query_values import (
    CompositeValue,
    DateValue,
    MissingValue,
    Modifier,
    NearValue,
    NumberValue,
    QuantityValue,
    ReferenceValue,
    StringValue,
    TokenValue,
    TypedValue,
    UriValue,
    Value,
)
from healthsync.standards.fhir.search_parameters import IndexValues, Parameter, component_values, definition
from healthsync.standards.fhir.words import content_words, narrative_words

Elsewhere = Callable[[Node], bool]
"""Answers for this resource what only the store knows: Chain, Has, ListMember, `:above`/`:below` of a reference."""
Codes = Callable[[Modifier, Value, "str | None", str], bool]
"""Is a code (system, code) in the value set (IN), or the value itself, an ancestor (ABOVE), a descendant (BELOW)?"""
Canonical = Callable[[Decimal, str], "tuple[Decimal, str] | None"]
"""A value in a UCUM unit as one in base units; None for a unit that is unknown."""

Range = tuple[Decimal | None, Decimal | None]
"""Closed; None where unbounded."""

_EARTH_KM = 6371.0088
_EXACT = Context(prec=250)


def satisfies(
    node: Node,
    resource: dict[str, Any],
    values: IndexValues,
    now: datetime,
    *,
    elsewhere: Elsewhere | None = None,
    codes: Codes | None = None,
    canonical: Canonical | None = None,
) -> bool:
    """Whether `resource` satisfies `node`; `values` are those of `index(resource, whole=True)`, `now` is for `ap`.

    Raises InvalidInput (`not-supported`) when an answer needs other resources or a terminology and nobody is given
    who knows them.
    """
    return _Matcher(resource, values, now, elsewhere or _no_store, codes or _no_terminology, canonical or _ucum).holds(
        node
    )


@dataclass(frozen=True, slots=True)
class _Matcher:
    """One resource and those who know what it does not say itself."""

    resource: dict[str, Any]
    values: IndexValues
    now: datetime
    elsewhere: Elsewhere
    codes: Codes
    canonical: Canonical

    def holds(self, node: Node) -> bool:
        match node:
            case Criterion():
                return self._criterion(node)
            case And(nodes):
                return all(self.holds(each) for each in nodes)
            case Or(nodes):
                return any(self.holds(each) for each in nodes)
            case Not(inner):
                return not self.holds(inner)
            case WordSearch():
                return self._words(node)
            case ThisResource(type=type_, id=id_):
                return (self.resource["resourceType"], self.resource.get("id")) == (type_, id_)
            case Chain() | Has() | ListMember():
                return self.elsewhere(node)

    def _criterion(self, criterion: Criterion) -> bool:
        parameter, values = self._located(criterion.parameter)
        match criterion.modifier:
            case Modifier.MISSING:
                absent = not self._is_present(parameter, values)
                return any(isinstance(value, MissingValue) and value.missing is absent for value in criterion.values)
            case Modifier.NOT:
                return not any(self._value(parameter, None, value, values) for value in criterion.values)
            case Modifier.NOT_IN:
                return not any(self._value(parameter, Modifier.IN, value, values) for value in criterion.values)
        return any(self._value(parameter, criterion.modifier, value, values) for value in criterion.values)

    def _located(self, parameter: Parameter) -> tuple[Parameter, IndexValues]:
        """`_id` and `_lastUpdated` belong to the store and are not in the index."""
        if parameter.name == "_id":
            found = IndexValues(tokens=[("id", None, self.resource["id"])] if "id" in self.resource else [])
            return replace(parameter, paths=("id",)), found
        if parameter.name == "_lastUpdated":
            updated = self.resource.get("meta", {}).get("lastUpdated")
            found = IndexValues(dates=[("lastUpdated", *dates.interval(updated))] if updated else [])
            return replace(parameter, paths=("lastUpdated",)), found
        if not parameter.paths:  # of a search across types, which find it at different elements
            own = definition(self.resource["resourceType"], parameter.name)
            return replace(parameter, paths=own.paths if own is not None else ()), self.values
        return parameter, self.values

    def _is_present(self, parameter: Parameter, values: IndexValues) -> bool:
        paths = parameter.paths
        match parameter.type:
            case "composite":
                return any(
                    all(_is_not_empty(component) for component in components)
                    for components in component_values(self.resource, parameter)
                )
            case "reference":
                logical = {f"{path}:identifier" for path in paths}
                return (
                    bool(_targets(parameter, values))
                    or any(path in logical for path, *_ in values.tokens)
                    or any(True for _ in contained(self.resource, parameter, values))
                )
            case "token":
                return any(path in paths for entries in (values.tokens, values.texts) for path, *_ in entries)
            case "special":
                return any(path in paths for path, *_ in values.positions)
        entries: Iterable[tuple[Any, ...]] = getattr(values, _KINDS[parameter.type])
        return any(path in paths for path, *_ in entries)

    def _value(self, parameter: Parameter, modifier: Modifier | None, value: Value, values: IndexValues) -> bool:
        """Whether some value under the parameter fits this one of the search."""
        paths = parameter.paths
        if isinstance(value, TokenValue) and modifier is Modifier.BELOW and is_media_type(value):
            return any(_media_type_fits(value.code or "", code) for path, _, code in values.tokens if path in paths)
        if parameter.type == "token" and modifier in {Modifier.IN, Modifier.ABOVE, Modifier.BELOW}:
            return any(self.codes(modifier, value, s, code) for path, s, code in values.tokens if path in paths)
        match value:
            case TokenValue():
                suffix = ":identifier" if modifier is Modifier.IDENTIFIER else ""
                wanted = {f"{path}{suffix}" for path in paths}
                return any(_token_fits(value, system, code) for path, system, code in values.tokens if path in wanted)
            case TypedValue():
                entry = (value.system, value.code, value.value)
                return any(path in paths and tuple(found) == entry for path, *found in values.typed)
            case StringValue():
                return _string_fits(parameter, modifier, value, values)
            case DateValue():
                return any(self._date_fits(value, (low, high)) for path, low, high in values.dates if path in paths)
            case NumberValue():
                return any(number_fits(value, (low, high)) for path, low, high in values.numbers if path in paths)
            case QuantityValue():
                return any(
                    self._quantity_fits(value, (low, high), system, code, unit)
                    for path, low, high, system, code, unit in values.quantities
                    if path in paths
                ) or any(
                    value.code is not None and self._quantity_fits(value, (low, high), UCUM, code, None)
                    for path, low, high, code in values.translations
                    if path in paths and value.system == UCUM
                )
            case UriValue():
                uris = [uri for path, uri in values.uris if path in paths]
                return any(_uri_fits(modifier, value.uri, uri) for uri in (as_written(uris) if modifier else uris))
            case ReferenceValue():
                return self._reference_fits(parameter, modifier, value, values)
            case NearValue():
                return any(
                    kilometres(value.latitude, value.longitude, float(latitude), float(longitude)) <= value.distance_km
                    for path, latitude, longitude in values.positions
                    if path in paths
                )
            case CompositeValue():
                return self._composite_fits(parameter, value)
            case MissingValue():
                return False

    def _composite_fits(self, parameter: Parameter, value: CompositeValue) -> bool:
        """All parts hold of the same repetition (search.html#composite)."""
        return any(
            all(
                self._value(part, None, wanted, found)
                for (part, wanted), found in zip(value.parts, components, strict=True)
            )
            for components in component_values(self.resource, parameter)
        )

    def _date_fits(self, value: DateValue, target: dates.Interval) -> bool:
        asked = (value.low, value.high)
        if value.prefix is Prefix.APPROXIMATELY:
            asked = dates.widened(asked, self.now)
        return dates.matches(value.prefix, asked, target)

    def _quantity_fits(
        self, value: QuantityValue, found: Range, system: str | None, code: str | None, unit: str | None
    ) -> bool:
        """search.html#quantity: with a system the unit is a code of it, without one it is code or printed unit."""
        if value.code is None:
            return value.system in {None, system} and number_fits(value.number, found)
        if value.system is None:
            return value.code in {code, unit} and number_fits(value.number, found)
        if value.system != system or code is None:
            return False
        if value.code == code:
            return number_fits(value.number, found)
        return system == UCUM and self._fits_in_base_units(value.number, value.code, found, code)

    def _fits_in_base_units(self, number: NumberValue, asked_in: str, target: Range, found_in: str) -> bool:
        asked, found = Bounds.of(number), [bound for bound in target if bound is not None]
        converted = [self.canonical(value, asked_in) for value in asked]
        converted += [self.canonical(value, found_in) for value in found]
        based = [each[0] for each in converted if each is not None]
        if len(based) < len(converted) or len({each[1] for each in converted if each is not None}) != 1:
            return False
        ends = iter(based[len(asked) :])
        low, high = (None if bound is None else next(ends) for bound in target)
        return Bounds(*based[: len(asked)]).fits(number.prefix, (low, high))

    def _reference_fits(
        self, parameter: Parameter, modifier: Modifier | None, value: ReferenceValue, values: IndexValues
    ) -> bool:
        targets = _targets(parameter, values)
        if modifier in {Modifier.ABOVE, Modifier.BELOW}:
            if value.url is None:
                return self.elsewhere(Criterion(parameter, modifier, (value,)))
            return any(_canonical_fits(modifier, value.url, target) for target in as_written(targets))
        return any(target in value.targets for target in targets)

    def _words(self, search: WordSearch) -> bool:
        if search.kind == "text":
            texts = [narrative_words(self.resource)]
        else:
            texts = [words for words in content_words(self.resource) if words]
        present = {word for words in texts for word in words}
        for position, alternative in enumerate(search.alternatives):
            phrases = search.phrases[position] if position < len(search.phrases) else ()
            if present.issuperset(alternative) and all(_contains_phrase(texts, phrase) for phrase in phrases):
                return True
        return False


def contained(resource: dict[str, Any], parameter: Parameter, values: IndexValues) -> Iterator[dict[str, Any]]:
    """The contained resources that a reference parameter leads to, and one that stands in a Bundle itself."""
    ids = {id_ for path, id_ in values.local if path in parameter.paths}
    found = [each for each in resource.get("contained", ()) if each.get("id") in ids] if ids else []
    found += [each for path, each in values.inline if path in parameter.paths]
    for each in found:
        if not parameter.targets or each["resourceType"] in parameter.targets:
            yield each


_KINDS = {"string": "strings", "date": "dates", "uri": "uris", "number": "numbers", "quantity": "quantities"}


def _is_not_empty(values: IndexValues) -> bool:
    return any(
        (values.tokens, values.strings, values.dates, values.references, values.uris, values.numbers)
        + (values.quantities, values.texts)
    )


# --- numbers ------------------------------------------------------------------------------------------------------


class Bounds(NamedTuple):
    """A number of a search as prefixes look at it (search.html#number).

    `low <= x < high` is what its digits imply, which counts for eq and ne; the other prefixes compare with the exact
    `value`. From `least` to `most` is the tenth of the value that `ap` allows on both sides.
    """

    value: Decimal
    low: Decimal
    high: Decimal
    least: Decimal
    most: Decimal

    @staticmethod
    def of(number: NumberValue) -> Bounds:
        """The bounds of a number as written."""
        tenth = _EXACT.divide(abs(number.value), Decimal(10))
        about = (_EXACT.subtract(number.value, tenth), _EXACT.add(number.value, tenth))
        return Bounds(number.value, number.low, number.high, *about)

    def fits(self, prefix: Prefix, target: Range) -> bool:
        """Does a stored range satisfy the prefix? An open end (None) is infinitely far.

        ======  ==================================================================  =================================
        prefix  search.html#prefix                                                  as bounds
        ======  ==================================================================  =================================
        eq      the search range contains the whole target                          t.low >= s.low and t.high < s.high
        ne      it does not                                                         not eq
        gt, lt  the range above (below) the value meets the target                  t.high > v; t.low < v
        ge, le  as gt and lt, with the value itself                                 t.high >= v; t.low <= v
        sa, eb  the target lies wholly above (below) the value                      t.low > v; t.high < v
        ap      the target meets a tenth around the value                           t.low <= most and t.high >= least
        ======  ==================================================================  =================================
        """
        low, high = target
        match prefix:
            case Prefix.EQUAL:
                return low is not None and high is not None and low >= self.low and high < self.high
            case Prefix.NOT_EQUAL:
                return not self.fits(Prefix.EQUAL, target)
            case Prefix.GREATER:
                return high is None or high > self.value
            case Prefix.LESS:
                return low is None or low < self.value
            case Prefix.GREATER_OR_EQUAL:
                return high is None or high >= self.value
            case Prefix.LESS_OR_EQUAL:
                return low is None or low <= self.value
            case Prefix.STARTS_AFTER:
                return low is not None and low > self.value
            case Prefix.ENDS_BEFORE:
                return high is not None and high < self.value
            case Prefix.APPROXIMATELY:
                return (low is None or low <= self.most) and (high is None or high >= self.least)


def number_fits(number: NumberValue, target: Range) -> bool:
    """Does a stored number, or a range of them, satisfy a number of a search?"""
    return Bounds.of(number).fits(number.prefix, target)


# --- the other types ----------------------------------------------------------------------------------------------


def _token_fits(value: TokenValue, system: str | None, code: str) -> bool:
    if value.code is not None and value.code != code:
        return False
    return value.system is None or value.system == (system or "")


_MEDIA_FAMILIES = frozenset({"application", "audio", "font", "image", "message", "model", "multipart", "text", "video"})
"""RFC 6838 §4.2: the top-level media types."""


def is_media_type(value: Value) -> bool:
    """Whether a token of a search is a media type, or a whole family of them such as `image`."""
    if not isinstance(value, TokenValue) or value.system is not None or value.code is None:
        return False
    return "/" in value.code or value.code in _MEDIA_FAMILIES


def _media_type_fits(asked: str, found: str) -> bool:
    """`:below` of a media type finds it with parameters too, that of a family all of it (search.html#mimetype)."""
    return found == asked or found.startswith(f"{asked};" if "/" in asked else f"{asked}/")


def _string_fits(parameter: Parameter, modifier: Modifier | None, value: StringValue, values: IndexValues) -> bool:
    paths = parameter.paths
    if modifier is Modifier.EXACT:
        return any(text == value.text for path, text in values.exact if path in paths)
    if modifier is Modifier.TEXT:
        return any(_begins_a_word(normalise(text), value.normalised) for path, text in values.texts if path in paths)
    found = (text for path, text in values.strings if path in paths)
    if parameter.usage == "phonetic":
        wanted = sounds(value.text)
        return bool(wanted) and wanted <= {*found}
    match modifier:
        case Modifier.CONTAINS:
            return any(value.normalised in text for text in found)
        case Modifier.EQUALS:
            return any(value.normalised == text for text in found)
        case Modifier.ENDS:
            return any(text.endswith(value.normalised) for text in found)
    return any(text.startswith(value.normalised) for text in found)


def _begins_a_word(text: str, wanted: str) -> bool:
    return f" {wanted}" in f" {text}"


def _uri_fits(modifier: Modifier | None, asked: str, found: str) -> bool:
    match modifier:
        case Modifier.BELOW:
            return _is_below(found, asked)
        case Modifier.ABOVE:
            return _is_below(asked, found)
    return asked == found


def _is_below(lower: str, upper: str) -> bool:
    """Whether a URL lies under another by its path; a URN only under itself (search.html#uri)."""
    if "|" in upper:
        return _version_is_below(lower, upper)
    lower = lower.partition("|")[0]
    if lower == upper:
        return True
    return "://" in upper and lower.startswith(upper if upper.endswith("/") else f"{upper}/")


def _canonical_fits(modifier: Modifier, asked: str, found: str) -> bool:
    return _version_is_below(found, asked) if modifier is Modifier.BELOW else _version_is_below(asked, found)


def as_written(targets: list[str]) -> list[str]:
    """Canonicals without the entries that the index adds so that they are found without their version too."""
    added = {target.partition("|")[0] for target in targets if "|" in target}
    return [target for target in targets if target not in added]


def _version_is_below(lower: str, upper: str) -> bool:
    """Whether `url|1.2.3` is a version of `url|1.2` or of `url`."""
    (lower_url, _, lower_version), (upper_url, _, upper_version) = lower.partition("|"), upper.partition("|")
    if lower_url != upper_url:
        return False
    return not upper_version or lower_version == upper_version or lower_version.startswith(f"{upper_version}.")


def _targets(parameter: Parameter, values: IndexValues) -> list[str]:
    """What the parameter refers to; under its path may stand references to types that are not its own."""
    found = [target for path, target in values.references if path in parameter.paths]
    if not parameter.targets:
        return found
    return [target for target in found if _is_of(parameter.targets, target)]


def _is_of(allowed: tuple[str, ...], target: str) -> bool:
    named = references.parse(target).type
    return named not in resource_types() or named in allowed


def kilometres(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Great-circle distance of two positions in degrees (haversine)."""
    a, b = math.radians(latitude), math.radians(other_latitude)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(min(1.0, math.sqrt(half)))


def _contains_phrase(texts: list[list[str]], phrase: str) -> bool:
    return any(f" {phrase} " in f" {' '.join(words)} " for words in texts)


def _ucum(value: Decimal, code: str) -> tuple[Decimal, str] | None:
    from healthsync.standards.ucum import canonical

    return canonical(value, code)


def _no_store(node: Node) -> NoReturn:
    raise InvalidInput("this criterion needs other resources, which cannot be looked at here", code="not-supported")


def _no_terminology(modifier: Modifier, value: Value, system: str | None, code: str) -> NoReturn:
    raise InvalidInput(f"':{modifier.value}' needs a terminology, which is not at hand here", code="not-supported")
