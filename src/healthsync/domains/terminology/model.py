"""The nouns of terminology: what a compiled CodeSystem, ValueSet and ConceptMap consist of, and what is answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

_STATUS = "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"
_DEPRECATED = "http://hl7.org/fhir/StructureDefinition/valueset-deprecated"


def extension_value(extensions: Iterable[Mapping[str, Any]], url: str) -> Any:
    """The value of the extension of this URL; None without it."""
    for extension in extensions:
        if extension.get("url") == url:
            return next((value for name, value in extension.items() if name.startswith("value")), None)
    return None


def standards_status(extensions: Iterable[Mapping[str, Any]]) -> str | None:
    """draft, withdrawn, deprecated …: how far a definition, a concept or a text of it may be relied on."""
    return extension_value(extensions, _STATUS)


@dataclass(frozen=True, slots=True)
class Coding:
    """A code of a system. `display` is what its user reads."""

    system: str | None
    code: str
    display: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Designation:
    """Another text for a concept (CodeSystem.concept.designation). `use` is a Coding as FHIR writes it.

    status      that of its extension standards-status: one that is withdrawn or deprecated is no longer right
    supplement  `url|version` of the supplement that brought it
    """

    value: str
    language: str | None = None
    use: Mapping[str, Any] | None = None
    status: str | None = None
    supplement: str | None = None


@dataclass(frozen=True, slots=True)
class Property:
    """A property of a concept; `kind` is the FHIR type of the value: code, Coding, string, integer, boolean, dateTime,
    decimal. `value` is its text (for a Coding its code), `coding` the whole Coding."""

    code: str
    kind: str
    value: str
    coding: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Concept:
    """A concept of a code system. `ordinal` is its place in the order in which the system lists its concepts.

    extensions  those of the code system that concern how a concept is shown and ordered
    stated      those of the value set that lists the concept
    """

    code: str
    display: str | None = None
    definition: str | None = None
    ordinal: int = 0
    inactive: bool = False
    abstract: bool = False
    parents: tuple[str, ...] = ()
    designations: tuple[Designation, ...] = ()
    properties: tuple[Property, ...] = ()
    extensions: tuple[Mapping[str, Any], ...] = ()
    stated: tuple[Mapping[str, Any], ...] = ()

    @property
    def status(self) -> str | None:
        """The code of its property `status`, else what says that it should not be used."""
        said = {p.code: p.value for p in reversed(self.properties)}
        if "status" in said:
            return said["status"]
        told = next((name for name in ("deprecated", "inactive", "retired") if said.get(name) == "true"), None)
        return told or ("inactive" if self.inactive else None)

    def display_in(self, language: str | None) -> str | None:
        """The display, in a language where there is a designation in it or in a dialect of it (RFC 4647 §3.3.1)."""
        wanted = (language or "").lower()
        for designation in self.designations:
            spoken = (designation.language or "").lower()
            if wanted and (spoken == wanted or spoken.startswith(f"{wanted}-")):
                return designation.value
        return self.display


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """What is said of a code system as a whole. `properties`: code -> FHIR type of those that it defines.

    standards_status  draft, withdrawn, deprecated … by the extension of that name
    supplements       canonical of the system that this one supplements
    language_pack     is a supplement that is used for its languages without being asked for
    version_needed    its codes are to be sent with a version
    is_shipped        came with the hub: one that was loaded goes before it
    names_only        is there for the names of some concepts, and says nothing of which there are
    """

    url: str
    version: str | None = None
    name: str | None = None
    title: str | None = None
    status: str = "active"
    content: str = "complete"
    case_sensitive: bool = True
    properties: Mapping[str, str] = field(default_factory=dict)
    language: str | None = None
    experimental: bool = False
    standards_status: str | None = None
    supplements: str | None = None
    is_shipped: bool = False
    names_only: bool = False
    version_needed: bool = False
    language_pack: bool = False
    property_uris: Mapping[str, str] = field(default_factory=dict)

    @property
    def canonical(self) -> str:
        """`url|version`, or what there is of it."""
        return f"{self.url}|{self.version}" if self.version else self.url

    @property
    def has_members(self) -> bool:
        """Whether it can be asked which concepts belong to a value set: a system of names only does not."""
        return self.content in ("complete", "fragment") and not self.names_only

    @property
    def standing(self) -> tuple[str | None, str]:
        """Version and status, by which one of several is chosen."""
        return self.version, "retired" if self.is_shipped else self.status


@dataclass(frozen=True, slots=True)
class CompiledCodeSystem:
    """A code system with its concepts, in order, each code once."""

    header: CodeSystem
    concepts: tuple[Concept, ...]


class FilterOperator(StrEnum):
    """http://hl7.org/fhir/filter-operator"""

    EQUAL = "="
    IS_A = "is-a"
    DESCENDENT_OF = "descendent-of"
    IS_NOT_A = "is-not-a"
    REGEX = "regex"
    IN = "in"
    NOT_IN = "not-in"
    GENERALIZES = "generalizes"
    EXISTS = "exists"
    CHILD_OF = "child-of"
    DESCENDENT_LEAF = "descendent-leaf"


@dataclass(frozen=True, slots=True)
class Filter:
    """ValueSet.compose.include.filter"""

    property: str
    operator: FilterOperator
    value: str


@dataclass(frozen=True, slots=True)
class Part:
    """An include or exclude: concepts of a system, listed, filtered or all, that are in every one of `value_sets`."""

    system: str | None = None
    version: str | None = None
    concepts: Mapping[str, Concept] | None = None
    filters: tuple[Filter, ...] = ()
    value_sets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ValueSet:
    """A compiled value set. `inactive` is compose.inactive: whether inactive concepts belong to it.

    display_language  languages that it asks to be shown in (extension valueset-expansion-parameter)
    supplements  canonicals of code system supplements that it needs (extension valueset-supplement)
    contained    `#id` -> value sets inside it
    header       the resource that it was compiled from
    obstacle     why it cannot be followed, None when it can
    """

    url: str | None
    version: str | None
    includes: tuple[Part, ...]
    excludes: tuple[Part, ...] = ()
    inactive: bool = True
    header: Mapping[str, Any] = field(default_factory=dict)
    language: str | None = None
    display_language: str | None = None
    experimental: bool = False
    standards_status: str | None = None
    supplements: tuple[str, ...] = ()
    contained: Mapping[str, ValueSet] = field(default_factory=dict)
    obstacle: str | None = None

    @property
    def canonical(self) -> str:
        """`url|version`, or what there is of it."""
        return f"{self.url}|{self.version}" if self.version else self.url or "(unidentified)"

    @property
    def status(self) -> str:
        """Its publication status."""
        return self.header.get("status", "unknown")

    def given_up(self, system: str | None, code: str) -> str | None:
        """`deprecated` or `withdrawn` where it lists a concept that it will not list for ever."""
        for part in self.includes:
            if part.system == system and (listed := (part.concepts or {}).get(code)) is not None:
                deprecated = extension_value(listed.stated, _DEPRECATED) in (True, "true")
                status = standards_status(listed.stated) or ("deprecated" if deprecated else None)
                if status in ("deprecated", "withdrawn"):
                    return status
        return None

    @property
    def mixed(self) -> frozenset[str]:
        """Code systems of which it names several versions: there a code is a member once for each."""
        stated: dict[str, set[str | None]] = {}
        for part in (*self.includes, *self.excludes):
            if part.system is not None:
                stated.setdefault(part.system, set()).add(part.version)
        return frozenset(system for system, versions in stated.items() if len(versions) > 1)

    @property
    def excludes_any_version(self) -> bool:
        """Whether it takes codes of one system by what other versions of it have: then the version is no matter."""
        parts = (*self.includes, *self.excludes)
        mine, others = ({part.version for part in each} for each in (self.includes, self.excludes))
        is_one_system = len({part.system for part in parts}) == 1 and all(part.version for part in parts)
        return bool(self.excludes) and is_one_system and mine.isdisjoint(others)


@dataclass(frozen=True, slots=True)
class Member:
    """A concept that belongs to a value set. `concept.display` is the text that the value set prefers."""

    system: str | None
    version: str | None
    concept: Concept


@dataclass(frozen=True, slots=True)
class Expansion:
    """A page of the members of a value set. `total` is None when it was not counted to the end.

    versions and systems are those of the code systems that were used; imported, the value sets; supplements, theirs
    is_tree says whether each member has one place below the others, so that they can be told nested
    """

    value_set: ValueSet
    members: Sequence[Member]
    total: int | None
    versions: tuple[str, ...] = ()
    systems: tuple[CodeSystem, ...] = ()
    imported: tuple[ValueSet, ...] = ()
    supplements: tuple[str, ...] = ()
    is_tree: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say about a coding (OperationOutcome.issue).

    kind       code of http://hl7.org/fhir/tools/CodeSystem/tx-issue-type
    message_id the name that validators know the sentence by
    place      what is at fault inside the coding: code, system, version, display, "" for all of it; None for no place
    at         the place in the request, once it is known: `Coding.code`, `CodeableConcept.coding[1].display`
    is_message whether the message of the whole answer repeats it
    """

    severity: str
    code: str
    kind: str
    text: str
    message_id: str
    place: str | None = None
    at: str | None = None
    is_message: bool = True


@dataclass(frozen=True, slots=True)
class Validation:
    """The answer of $validate-code.

    findings    everything there is to say, errors and less
    coding      the coding that was judged, with the display to show and the version that was asked; None when none
                of several belongs
    unknown     (parameter, canonical): code systems that are missing here, x-caused-by-unknown-system when the value
                set needs them and x-unknown-system when only the coding names them
    normalized  the code as its system writes it, where that differs
    found_in    number of a coding that does not belong and names no version -> the version that has its code
    """

    result: bool
    message: str | None = None
    display: str | None = None
    findings: tuple[Finding, ...] = ()
    coding: Coding | None = None
    inactive: bool = False
    status: str | None = None
    unknown: tuple[tuple[str, str], ...] = ()
    normalized: str | None = None
    found_in: Mapping[int, str] = field(default_factory=dict)


class Subsumption(StrEnum):
    """http://hl7.org/fhir/concept-subsumption-outcome"""

    EQUIVALENT = "equivalent"
    SUBSUMES = "subsumes"
    SUBSUMED_BY = "subsumed-by"
    NOT_SUBSUMED = "not-subsumed"


@dataclass(frozen=True, slots=True)
class MapEntry:
    """One line of a concept map: a source code and what it is in the target system.

    `depends_on` holds pairs (property, value) that must be given for the line to apply, `products` what it yields
    beside. `target` is None for a code that the map declares to have no match.
    """

    source_system: str | None
    source_code: str
    equivalence: str
    target: Coding | None
    comment: str | None = None
    depends_on: tuple[tuple[str, str], ...] = ()
    products: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Unmapped:
    """What a group says of codes that it does not list (ConceptMap.group.unmapped)."""

    source_system: str | None
    target_system: str | None
    mode: str
    code: str | None = None
    display: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class ConceptMap:
    """A compiled concept map without its entries. `source` and `target` are the value sets that it is between."""

    url: str | None
    version: str | None = None
    status: str = "active"
    source: str | None = None
    target: str | None = None
    unmapped: tuple[Unmapped, ...] = ()


@dataclass(frozen=True, slots=True)
class CompiledConceptMap:
    """A concept map with its entries in order."""

    header: ConceptMap
    entries: tuple[MapEntry, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """One translation: the target, how near it is (http://hl7.org/fhir/concept-map-equivalence), the map it is from."""

    equivalence: str
    target: Coding | None
    source: str | None
    comment: str | None = None
    products: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Translation:
    """The answer of $translate. `result` is whether any match is a real one."""

    result: bool
    matches: tuple[Match, ...]
    message: str | None = None


@dataclass(frozen=True, slots=True)
class LocalMap:
    """What is said of a map of local codes. `partner` is whose codes they are, None for those of every source."""

    partner: str | None
    url: str
    lines: int
    changed_at: datetime


class WorkState(StrEnum):
    """What became of a code that no map translated."""

    OPEN = "open"
    MAPPED = "mapped"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A code that asks for a person: no map translates it, or a map leaves a choice. Nothing in it is of a patient.

    element      where it stood last, such as Observation.code
    reason       unmapped, or ambiguous
    occurrences  how often it came, up to `last_seen_at`
    """

    key: int
    partner: str
    system: str | None
    code: str
    element: str
    reason: str
    state: str
    occurrences: int
    first_seen_at: datetime
    last_seen_at: datetime
    settled_at: datetime | None = None
    settled_by: str | None = None


@dataclass(frozen=True, slots=True)
class LoadedRelease:
    """A code system, map or value set that came with a release; `entries` counts its concepts or lines."""

    kind: str
    origin: str
    url: str
    version: str | None
    loaded_at: datetime
    entries: int

    @property
    def release(self) -> tuple[str, str]:
        """Kind and version of the release, as `load` and `unload` name it."""
        kind, _, rest = self.origin.removeprefix("load:").partition("/")
        return kind, rest.partition("#")[0]
