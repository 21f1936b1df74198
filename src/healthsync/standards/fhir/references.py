"""References between resources: what they say, where they stand, and how to point them elsewhere (references.html)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from functools import cache, lru_cache
from typing import Any

import msgspec

from healthsync.standards.fhir import json
from healthsync.standards.fhir.definitions import json_name, structures

_RESTFUL = re.compile(
    r"(?:(?P<base>https?://.+?)/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9.-]{1,64})"
    r"(?:/_history/(?P<version>[A-Za-z0-9.-]{1,64}))?(?:#(?P<fragment>.+))?"
)

_URI = re.compile(r"urn:|[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # RFC 3986 §3
_LITERAL = b'"reference":"'  # as JSON is written here; inside a text its quotes are escaped
_LITERAL_TEXT = _LITERAL.decode()
_LOCAL = re.compile(rb'"reference":"(?:[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}|urn:uuid:[0-9a-f-]+|#[A-Za-z0-9.-]+)"')
_STATED_TYPE = b'"type":"'
_LINK = re.compile(r"""((?:href|src)\s*=\s*["'])(urn:[^"']+)""")


class Kind(Enum):
    """The forms of Reference.reference."""

    RELATIVE = "relative"  # Patient/1
    ABSOLUTE = "absolute"  # https://example.org/fhir/Patient/1
    CONTAINED = "contained"  # #p1, or # for the container itself
    URN = "urn"  # urn:uuid:… or urn:oid:…
    CONDITIONAL = "conditional"  # Patient?identifier=… (only inside a transaction)
    OTHER = "other"  # any other URI


class Reference(msgspec.Struct, frozen=True):
    """A reference taken apart; `type`, `id` and `version` are known for relative and RESTful absolute references."""

    kind: Kind
    text: str
    type: str | None = None
    id: str | None = None
    version: str | None = None
    base: str | None = None

    @property
    def is_address(self) -> bool:
        """Whether it can be followed as it stands: no condition, and no text that only looks like a reference."""
        return self.kind is not Kind.CONDITIONAL and (self.kind is not Kind.OTHER or bool(_URI.match(self.text)))

    @property
    def target(self) -> str:
        """What is pointed at, without version: `Patient/1`, an absolute URL, or the text as it stands."""
        if self.kind is Kind.RELATIVE:
            return f"{self.type}/{self.id}"
        if self.kind is Kind.ABSOLUTE:
            return f"{self.base}/{self.type}/{self.id}"
        return self.text


@lru_cache(4096)  # a message repeats the references to its patient and encounter in every resource
def parse(text: str) -> Reference:
    """Take a Reference.reference apart. Never fails: what is not recognised is of kind OTHER."""
    match = _RESTFUL.fullmatch(text)
    if match:
        kind = Kind.ABSOLUTE if match["base"] else Kind.RELATIVE
        return Reference(kind, text, match["type"], match["id"], match["version"], match["base"])
    if text.startswith("#"):
        return Reference(Kind.CONTAINED, text, id=text[1:])
    if text.startswith(("urn:uuid:", "urn:oid:")):
        return Reference(Kind.URN, text)
    conditional = re.fullmatch(r"([A-Z][A-Za-z]+)\?.+", text)
    if conditional:
        return Reference(Kind.CONDITIONAL, text, type=conditional[1])
    return Reference(Kind.OTHER, text)


def texts(resource: dict[str, Any], written: bytes | None = None) -> list[str]:
    """Every Reference.reference, contained resources included, in document order. `referenced` also says where they
    stand. Each write asks for it several times: its JSON, which may be `written` already, is looked through faster than
    it is walked."""
    _, *parts = (written or json.dump(resource)).split(_LITERAL)
    found = [part.partition(b'"')[0] for part in parts]
    if any(b"\\" in text for text in found):
        return [text for _, text in referenced(resource)]
    return [text.decode() for text in found]


def written(text: str) -> set[str]:
    """Every Reference.reference in the JSON of a resource, as it is written there: no more than a look for those which
    need no escape, as an address does not."""
    _, *parts = text.split(_LITERAL_TEXT)
    return {part[: part.find('"')] for part in parts}


def are_local(written: bytes) -> bool:
    """Whether every reference in the JSON of a resource is plainly one to this server, this bundle or itself."""
    return len(_LOCAL.findall(written)) == written.count(_LITERAL)


def may_state_types(written: bytes) -> bool:
    """Whether any element is called `type` and has text, as Reference.type has: by the JSON of a resource."""
    return _STATED_TYPE in written


def referenced(resource: dict[str, Any]) -> list[tuple[str, str]]:
    """Every Reference.reference as (expression, text), contained resources included, in document order."""
    return list(_walk(resource, resource.get("resourceType", "")))


def rewrite(resource: dict[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    """The resource with each reference found in `mapping` replaced; what does not change is shared, not copied.

    Covers Reference.reference and, since transactions demand it (http.html#trules), every uri, url, oid, uuid or
    canonical whose whole value is a `urn:` key, and links inside a narrative to such a key.
    """
    return _rewrite(resource, mapping) if mapping else resource


def may_name(body: bytes, bases: Sequence[str]) -> bool:
    """Whether JSON as it was received can have a reference to one of this server's own addresses."""
    return b"\\/" in body or b"\\u" in body or any(base.encode() in body for base in bases)


def localise(resource: dict[str, Any], bases: Sequence[str]) -> dict[str, Any]:
    """The resource with absolute references to this server's own addresses made relative (references.html#literal):
    `https://hub.example.org/fhir/Patient/1` is the same resource as `Patient/1`, and is searched for as that."""
    own_bases = {base.rstrip("/") for base in bases if "://" in base}
    if not own_bases:
        return resource
    own = {
        text: text.removeprefix(f"{parsed.base}/")
        for text in texts(resource)
        if "://" in text and (parsed := parse(text)).kind is Kind.ABSOLUTE and parsed.base in own_bases
    }
    return rewrite(resource, own)


def _walk(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if type(value) is dict:
        reference = value.get("reference")
        if type(reference) is str:
            yield f"{path}.reference", reference
        for name, child in value.items():
            if type(child) is dict or type(child) is list:
                yield from _walk(child, f"{path}.{name}")
    elif type(value) is list:
        for position, child in enumerate(value):
            if type(child) is dict:
                yield from _walk(child, f"{path}[{position}]")


def _rewrite(value: dict[str, Any], mapping: Mapping[str, str]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name, child in value.items():
        kind = type(child)
        if kind is str:
            if name != "reference" and "urn:" not in child:
                continue
            new = _rewrite_text(child, mapping, name)
        elif kind is dict:
            new = _rewrite(child, mapping)
        elif kind is list:
            new = _rewrite_items(child, mapping, name)
        else:
            continue
        if new is not child:
            changed[name] = new
    return {**value, **changed} if changed else value


def _rewrite_items(items: list[Any], mapping: Mapping[str, str], name: str) -> list[Any]:
    changed = [_rewrite_item(item, mapping, name) for item in items]
    return changed if any(new is not old for new, old in zip(changed, items, strict=True)) else items


def _rewrite_item(item: Any, mapping: Mapping[str, str], name: str) -> Any:
    kind = type(item)
    if kind is dict:
        return _rewrite(item, mapping)
    if kind is list:
        return _rewrite_items(item, mapping, name)
    return _rewrite_text(item, mapping, name) if kind is str else item


def _rewrite_text(text: str, mapping: Mapping[str, str], name: str) -> str:
    if name == "reference":
        return mapping.get(text, text)
    if name == "div":
        linked = _LINK.sub(lambda link: link[1] + mapping.get(link[2], link[2]), text)
        return text if linked == text else linked
    if text.startswith("urn:") and name in _uri_properties():
        return mapping.get(text, text)
    return text


@cache
def _uri_properties() -> frozenset[str]:
    """Properties that hold a uri, url, canonical, oid or uuid somewhere in R4.

    Identifier.value may hold the very urn of an entry and must keep it: it is a string.
    """
    return frozenset(
        json_name(name, kind)
        for structure in structures().values()
        for elements in structure["elements"].values()
        for name, facts in elements.items()
        for kind in facts.get("types", ())
        if kind in {"uri", "url", "canonical", "oid", "uuid"}
    )
