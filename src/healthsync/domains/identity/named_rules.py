"""Named rules of the deterministic tier: which fields must agree, as data (`named_rules.yaml`). Pure.

A hub takes the CMS rules that ship with it, a document of its own, or none. What a rule may do is decided elsewhere
(`deciding`): vetoes, gates and the person gate stand before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from math import prod
from typing import Any, TypeGuard

import yaml
from rapidfuzz.distance import OSA

from healthsync.domains.identity.demographics import INSURANCE_TYPES
from healthsync.domains.identity.model import Demographics
from healthsync.errors import ConfigurationError

LEAST_LETTERS = 5
"""A shorter text that differs by a letter is another one."""

_ALIKE = frozenset({"first_name", "last_name", "birth_date", "street"})
_LEGAL_TYPES = frozenset({"PPN", "DL", "STID", "PRC"})
_MEDICARE_TYPES = frozenset({"MC", "MCR"})
_KEYS = frozenset({"id", "household", "fields", "alike", "confidence"})


@dataclass(frozen=True, slots=True)
class NamedRule:
    """What must agree (`needed`); of `may_be_alike` so many may agree only nearly, and the birth date besides."""

    id: str
    needed: frozenset[str]
    may_be_alike: frozenset[str]
    most_alike: int
    exact: float
    alike: float


@dataclass(frozen=True, slots=True)
class Fit:
    """A rule that two records meet, exactly or nearly."""

    rule: NamedRule
    is_exact: bool

    @property
    def code(self) -> str:
        """The rule in evidence: with * where it is met only nearly."""
        return self.rule.id if self.is_exact else f"{self.rule.id}*"

    @property
    def confidence(self) -> float:
        """The score of the pair."""
        return self.rule.exact if self.is_exact else self.rule.alike


class NamedRules:
    """The rules of one document, strongest first: those that are met exactly before those met nearly, in its order."""

    def __init__(self, version: str, rules: Sequence[NamedRule]) -> None:
        self.version, self.rules = version, tuple(rules)

    def fits(self, one: Demographics, other: Demographics, *, same_identifier: bool = False) -> Iterator[Fit]:
        """The rules that two records meet; whether they share an identifier is known before."""
        agreeing = {name for name, values in _VALUES.items() if not values(one).isdisjoint(values(other))}
        if same_identifier:
            agreeing.add("identifier")
        yield from (Fit(rule, True) for rule in self.rules if rule.needed <= agreeing)
        nearly: dict[str, bool] = {}
        for rule in self.rules:
            lacks = rule.needed - agreeing
            if not lacks or not lacks <= rule.may_be_alike or len(lacks - {"birth_date"}) > rule.most_alike:
                continue
            for name in lacks - nearly.keys():
                nearly[name] = any(_NEARLY[name](a, b) for a, b in product(_VALUES[name](one), _VALUES[name](other)))
            if all(nearly[name] for name in lacks):
                yield Fit(rule, False)


@cache
def shipped_named_rules() -> NamedRules:
    """The CMS rules."""
    text = files("healthsync.domains.identity").joinpath("named_rules.yaml").read_text(encoding="utf-8")
    return load_named_rules(text)


def load_named_rules(document: str) -> NamedRules:
    """The rules of a YAML document. Raises ConfigurationError that names the rule and what it may say."""
    try:
        read = yaml.safe_load(document)
    except yaml.YAMLError:
        raise ConfigurationError("named rules: this is no YAML") from None
    if not isinstance(read, Mapping):
        raise ConfigurationError("named rules: the document says version, strangers, most_collisions and rules")
    version, entries, most = read.get("version"), read.get("rules"), read.get("most_collisions")
    if not isinstance(version, str) or not 1 <= len(version) <= 40:
        raise ConfigurationError("named rules: version is missing; evidence and tasks name it")
    if not isinstance(entries, list):
        raise ConfigurationError("named rules: rules is a list")
    shares = read.get("strangers")
    if not isinstance(shares, Mapping) or not all(_is_share(share) for share in shares.values()):
        raise ConfigurationError("named rules: strangers says for each field how likely two strangers agree, 0 to 1")
    if not _is_share(most):
        raise ConfigurationError("named rules: most_collisions is a chance, such as 2.0e-12")
    told = read.get("confidence", {})
    usual = {"exact": 0.99, "alike": 0.80, **(told if isinstance(told, Mapping) else {})}
    if not isinstance(told, Mapping) or not all(_is_share(value) for value in usual.values()):
        raise ConfigurationError("named rules: confidence says exact and alike, each from 0 to 1")
    rules = [_rule(entry, shares, most, usual) for entry in entries]
    for at, rule in enumerate(rules):
        if rule.id in {earlier.id for earlier in rules[:at]}:
            raise ConfigurationError(f"named rules: {rule.id} stands there twice")
    return NamedRules(version, rules)


def _rule(entry: Any, shares: Mapping[str, float], most: float, usual: Mapping[str, float]) -> NamedRule:
    id_ = entry.get("id") if isinstance(entry, Mapping) else None
    if not isinstance(id_, str) or not id_.replace("-", "").isalnum() or len(id_) > 30:
        raise ConfigurationError("named rules: a rule has an id of letters, digits and hyphens, such as cms-01")
    if unknown := sorted(set(map(str, entry)) - _KEYS):
        raise ConfigurationError(f"named rules: {id_}: {unknown[0]:.40} is none of {', '.join(sorted(_KEYS))}")
    written = [*_names(id_, entry, "household"), *_names(id_, entry, "fields")]
    needed = frozenset(name.removesuffix("*") for name in written)
    starred = frozenset(name.removesuffix("*") for name in written if name.endswith("*"))
    if not needed or len(needed) != len(written):
        raise ConfigurationError(f"named rules: {id_}: fields names what must agree, each once")
    if wrong := sorted(starred - _ALIKE):
        raise ConfigurationError(
            f"named rules: {id_}: {wrong[0]} agrees or does not; * is for {', '.join(sorted(_ALIKE))}"
        )
    if missing := sorted(needed - shares.keys()):
        raise ConfigurationError(f"named rules: {id_}: strangers does not say how likely {missing[0]} agrees")
    chance = prod(float(shares[name]) for name in needed)
    if chance > most * (1 + 1e-9):
        raise ConfigurationError(
            f"named rules: {id_}: two strangers meet it with a chance of {chance:.1g}, at most {most:.1g} is allowed"
        )
    alike = entry.get("alike", 0)
    if not isinstance(alike, int) or isinstance(alike, bool) or not 0 <= alike <= len(starred - {"birth_date"}):
        raise ConfigurationError(f"named rules: {id_}: alike is how many of the fields with * may agree only nearly")
    confidence = entry.get("confidence", usual["exact"])
    if not _is_share(confidence):
        raise ConfigurationError(f"named rules: {id_}: confidence is a number from 0 to 1")
    return NamedRule(id_, needed, starred, alike, float(confidence), min(float(confidence), float(usual["alike"])))


def _names(id_: str, entry: Mapping[str, Any], key: str) -> list[str]:
    names = entry.get(key, [])
    known = {*_VALUES, "identifier"}
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(f"named rules: {id_}: {key} is a list of {', '.join(sorted(known))}")
    for name in names:
        if name.removesuffix("*") not in known:
            raise ConfigurationError(f"named rules: {id_}: {name:.40} is none of {', '.join(sorted(known))}")
    return names


def _is_share(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _numbers(said: Demographics, types: frozenset[str]) -> set[tuple[str, str]]:
    return {(each.authority, each.value) for each in said.identifiers if each.type in types and each.authority}


def _one_typing_error(a: str, b: str) -> bool:
    return min(len(a), len(b)) >= LEAST_LETTERS and OSA.distance(a, b, score_cutoff=1) <= 1


_VALUES: Mapping[str, Callable[[Demographics], Any]] = {
    "first_name": lambda said: said.first_names,
    "last_name": lambda said: said.families,
    "birth_date": lambda said: said.birth_dates,
    "street": lambda said: {
        (f"{place.house} {place.street}", place.postal_code[:5])
        for place in said.addresses
        if place.street and place.postal_code
    },
    "postal_code": lambda said: {place.postal_code[:5] for place in said.addresses if place.postal_code},
    "phone": lambda said: said.phones,
    "email": lambda said: said.emails,
    "ssn_end": lambda said: {ssn[-4:] for ssn in said.ssns},
    "tax_number_end": lambda said: {value[-4:] for _, value in _numbers(said, frozenset({"TAX"}))},
    "legal_number": lambda said: _numbers(said, _LEGAL_TYPES),
    "medicare_number": lambda said: {value for _, value in _numbers(said, _MEDICARE_TYPES)},
    "member_number": lambda said: _numbers(said, INSURANCE_TYPES - _MEDICARE_TYPES),
    "subscriber_number": lambda said: said.subscribers,
}
"""What a record says of each field, as sets."""

_NEARLY: Mapping[str, Callable[[Any, Any], bool]] = {
    "first_name": _one_typing_error,
    "last_name": _one_typing_error,
    "birth_date": lambda a, b: abs((a - b).days) <= 1,
    "street": lambda a, b: a[1] == b[1] and _one_typing_error(a[0], b[0]),
}
