"""SearchParameter resources that add to the official parameters (searchparameter.html): what this hub can take.

An expression is read in the dialect of `search_parameters` and written down in it: a union of paths that start at a
type of `base`, with `where(x='y')`, `where(resolve() is Patient)`, `ofType(X)` or `as(X)`, `(path as X)`,
`extension('url')` and, as guides write it, `valueX` after an extension. What says more is refused, never answered by
half of what it means.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from healthsync.errors import InvalidInput
from healthsync.standards.fhir import search_parameters
from healthsync.standards.fhir.definitions import resource_types
from healthsync.standards.fhir.definitions import search_parameters as official

SERVED_TYPES = ("token", "string", "date", "reference", "uri", "number", "quantity")

_NOT_STORED = frozenset({"AuditEvent"})
"""Kept by the audit log, which has its own search."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_LONGEST = 4_000
_MOST_TERMS = 50

_UNION = re.compile(r"\s*\|\s*(?=(?:[^']*'[^']*')*[^']*$)")
_CAST = re.compile(r"\((?P<path>.+) as (?P<type>[\w.]+)\)(?P<rest>.*)")
_BARE_CAST = re.compile(r"(?P<path>[^()]+) as (?P<type>[\w.]+)(?P<rest>)")
_STEP = re.compile(
    r"\.(?:"
    r"extension\('(?P<url>[^'()\s|\[\]]+)'\)"
    r"|where\((?P<name>\w+)\s*=\s*'(?P<value>[^'()|\[\]]*)'\)"
    r"|where\(resolve\(\) is (?P<target>\w+)\)"
    r"|(?:ofType|as)\((?:FHIR\.)?(?P<type>\w+)\)"
    r"|(?<=\)\.)value(?P<value_type>[A-Z]\w*)"
    r"|(?P<element>[a-zA-Z]\w*)(?![\w(\[])"
    r")"
)


class UnservedParameter(InvalidInput):
    """A SearchParameter by which this hub cannot search truthfully."""

    code = "not-supported"

    def __init__(self, because: str, expression: str = "SearchParameter") -> None:
        super().__init__(because, code="not-supported", expression=expression)


def read(resource: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an active SearchParameter means, as `search_parameters.use` takes it; None for a draft or a retired one.

    Raises UnservedParameter with a sentence that says what cannot be served.
    """
    if resource.get("status") != "active":
        return None
    if not _is_shaped(resource):  # what a package brings was not validated
        raise UnservedParameter("code, base, type and expression are not as a SearchParameter has them")
    code, bases, kind = resource["code"], sorted(set(resource["base"])), resource["type"]
    if not _CODE.fullmatch(code):
        raise UnservedParameter(
            "a code is 64 letters, digits, - and _ at most, and begins with a letter", "SearchParameter.code"
        )
    if unknown := [base for base in bases if base not in resource_types() - _NOT_STORED]:
        raise UnservedParameter(
            f"base '{unknown[0]}' is no type of resource that is stored; name each type", "SearchParameter.base"
        )
    _refuse_official(resource["url"], code, bases)
    if kind not in SERVED_TYPES:
        raise UnservedParameter(
            f"parameters of type {kind} cannot be added; the types are {', '.join(SERVED_TYPES)}",
            "SearchParameter.type",
        )
    facts = {
        "code": code,
        "base": bases,
        "type": kind,
        "url": resource["url"],
        "expression": _written(resource.get("expression", ""), bases),
        "target": sorted(set(resource.get("target", ())) & resource_types()),
    }
    _check(facts)
    return facts


def is_official(resource: Mapping[str, Any]) -> bool:
    """Whether R4 itself has a parameter of this code for each type: an implementation guide repeats many of them."""
    if not _is_shaped(resource):
        return False
    bases = resource_types().intersection(resource["base"])
    known = [search_parameters.definition(base, resource["code"]) for base in bases]
    return bool(known) and all(each is not None and each.number is None for each in known)


def _is_shaped(resource: Mapping[str, Any]) -> bool:
    texts = (resource.get("code"), resource.get("type"), resource.get("expression", ""))
    lists = (resource.get("base"), resource.get("target", []))
    return all(type(text) is str for text in texts) and all(
        type(each) is list and all(type(item) is str for item in each) for each in lists
    )


def _refuse_official(url: str, code: str, bases: list[str]) -> None:
    for base in bases:
        known = search_parameters.definition(base, code)
        if known is not None and known.number is None:
            raise UnservedParameter(
                f"{base} has an official search parameter of this code, which cannot be replaced; choose another code",
                "SearchParameter.code",
            )
    if any(facts["url"] == url for facts in official()):
        raise UnservedParameter("this url is that of an official search parameter", "SearchParameter.url")


def _written(expression: str, bases: list[str]) -> str:
    """The expression in the words of the dialect. Raises UnservedParameter."""
    if not expression:
        raise UnservedParameter("a search parameter needs an expression", "SearchParameter.expression")
    terms = _UNION.split(expression.strip()) if len(expression) <= _LONGEST else []
    if not 1 <= len(terms) <= _MOST_TERMS:
        raise UnservedParameter(
            f"an expression has {_LONGEST} characters and {_MOST_TERMS} paths at most", "SearchParameter.expression"
        )
    written = [_term(" ".join(term.split())) for term in terms]
    roots = [term.partition(".")[0] for term in written]
    if missing := [base for base in bases if base not in roots]:
        raise UnservedParameter(f"no path of the expression starts at {missing[0]}", "SearchParameter.expression")
    if any(root not in bases for root in roots):
        raise UnservedParameter("a path of the expression starts at no type of base", "SearchParameter.expression")
    return " | ".join(dict.fromkeys(written))


def _term(term: str) -> str:
    while cast := _CAST.fullmatch(term) or _BARE_CAST.fullmatch(term):
        term = f"{cast['path']}.ofType({cast['type'].removeprefix('FHIR.')}){cast['rest']}"
    if term.startswith("(") and term.endswith(")"):
        return _term(term[1:-1])
    root, dot, _ = term.partition(".")
    written, position = [root], len(root)
    while position < len(term):
        step = _STEP.match(term, position)
        if step is None:
            break
        written.append(_step(step))
        position = step.end()
    if not dot or not root.isalpha() or position < len(term):
        raise UnservedParameter(
            "the expression says more than this hub can index; it takes paths from a resource type joined by |, with "
            "where(x='y'), where(resolve() is Type), ofType(Type), as(Type) and extension('url')",
            "SearchParameter.expression",
        )
    return ".".join(written)


def _step(step: re.Match[str]) -> str:
    if step["url"]:
        return f"extension.where(url='{step['url']}')"
    if step["name"]:
        return f"where({step['name']}='{step['value']}')"
    if step["target"]:
        return f"where(resolve() is {step['target']})"
    if step["type"]:
        return f"ofType({step['type']})"
    if step["value_type"]:
        return f"value.ofType({step['value_type']})"
    return step["element"]


def _check(facts: Mapping[str, Any]) -> None:
    """Every path must lead to values that its type of parameter can have. Raises UnservedParameter."""
    for base in facts["base"]:
        try:
            leaves = search_parameters.leaves_of(base, facts)
        except KeyError:
            raise UnservedParameter(
                "the expression names an element that R4 does not have there, or compares one in where() that is no "
                "single text",
                "SearchParameter.expression",
            ) from None
        if not all(leaves):
            raise UnservedParameter(
                f"a path of the expression leads to nothing that a {facts['type']} parameter can find",
                "SearchParameter.expression",
            )
