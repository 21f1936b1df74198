"""Is a coding right, where a value set asks for it, and if not, what is wrong with it? ($validate-code.)

Everything there is to say is said, not only the first fault, each thing with its place and with the code by which
validators of the HL7 terminology ecosystem know it (http://hl7.org/fhir/tools/CodeSystem/tx-issue-type). The sentences
are those of other servers of the ecosystem, so that whoever reads them has met them before. One file, though a long
one: what is found about a coding depends on what was found before.

A value set may name versions of a code system, a question may ask for others, and the coding may carry one of its own:

    (1) a question's version is forced, or stands in for one that is not stated (`versions.Policy`);
    (2) of several that fit, that of the coding is taken, else the newest;
    (3) when none fits, or the coding's is not the value set's, that is a finding, and the rest is judged all the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from healthsync.domains.terminology import languages, versions
from healthsync.domains.terminology.errors import (
    TooCostly,
    UnknownCodeSystem,
    UnknownTerminology,
    circular,
    listed,
    unknown_value_set,
)
from healthsync.domains.terminology.expansion import MAX_STEPS, Expander, check_usable, preferred
from healthsync.domains.terminology.model import (
    CodeSystem,
    Coding,
    Concept,
    Designation,
    Finding,
    Validation,
    ValueSet,
)
from healthsync.domains.terminology.sources import Source

FindSources = Callable[[str], Awaitable[list[Source]]]
FindValueSet = Callable[[str], Awaitable[ValueSet | None]]
MakeExpander = Callable[[tuple[str, str | None] | None], Expander]

_GONE = frozenset({"withdrawn", "deprecated"})

_NO_CODE = ""
"""Validators know no name for this one."""

_FINDINGS = {
    "None_of_the_provided_codes_are_in_the_value_set_one": ("error", "code-invalid", "not-in-vs"),
    "TX_GENERAL_CC_ERROR_MESSAGE": ("error", "code-invalid", "not-in-vs"),
    "Unknown_Code_in_Version": ("error", "code-invalid", "invalid-code"),
    "UNKNOWN_CODE_IN_FRAGMENT": ("warning", "code-invalid", "invalid-code"),
    "UNKNOWN_CODESYSTEM": ("error", "not-found", "not-found"),
    "UNKNOWN_CODESYSTEM_VERSION": ("error", "not-found", "not-found"),
    "UNKNOWN_CODESYSTEM_VERSION_NONE": ("error", "not-found", "not-found"),
    "Unable_to_resolve_value_Set_": ("error", "not-found", "not-found"),
    "UNABLE_TO_INFER_CODESYSTEM": ("error", "not-found", "cannot-infer"),
    "Unable_to_resolve_system__value_set_has_multiple_matches": ("error", "not-found", "cannot-infer"),
    "VALUESET_VERSION_CHECK": ("error", "exception", "version-error"),
    "VALUESET_VALUE_MISMATCH": ("error", "invalid", "vs-invalid"),
    "VALUESET_VALUE_MISMATCH_CHANGED": ("error", "invalid", "vs-invalid"),
    "VALUESET_VALUE_MISMATCH_DEFAULT": ("warning", "invalid", "vs-invalid"),
    "CODESYSTEM_CS_NO_SUPPLEMENT": ("error", "invalid", "invalid-data"),
    "Terminology_TX_System_Relative": ("error", "invalid", "invalid-data"),
    "Terminology_TX_System_ValueSet2": ("error", "invalid", "invalid-data"),
    "Coding_has_no_system__cannot_validate": ("warning", "invalid", "invalid-data"),
    _NO_CODE: ("error", "invalid", "invalid-data"),
    "STATUS_CODE_WARNING_CODE": ("error", "business-rule", "code-rule"),
    "ABSTRACT_CODE_NOT_ALLOWED": ("error", "business-rule", "code-rule"),
    "CODE_CASE_DIFFERENCE": ("information", "business-rule", "code-rule"),
    "INACTIVE_CONCEPT_FOUND": ("warning", "business-rule", "code-comment"),
    "DEPRECATED_CONCEPT_FOUND": ("warning", "business-rule", "code-comment"),
    "CONCEPT_DEPRECATED_IN_VALUESET": ("warning", "business-rule", "code-comment"),
    "MSG_DRAFT": ("information", "business-rule", "status-check"),
    "MSG_DEPRECATED": ("information", "business-rule", "status-check"),
    "MSG_WITHDRAWN": ("information", "business-rule", "status-check"),
    "MSG_RETIRED": ("information", "business-rule", "status-check"),
    "MSG_EXPERIMENTAL": ("information", "business-rule", "status-check"),
    "Display_Name_for__should_be_one_of__instead_of": ("error", "invalid", "invalid-display"),
    "Display_Name_WS_for__should_be_one_of__instead_of": ("error", "invalid", "invalid-display"),
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_ERR": ("error", "invalid", "invalid-display"),
    "NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_OK": ("information", "invalid", "invalid-display"),
    "INACTIVE_DISPLAY_FOUND": ("warning", "invalid", "display-comment"),
}
"""Message id of the ecosystem -> severity, issue type, tx-issue-type."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a coding is asked about.

    abstract        whether a concept that only groups others will do
    language        languages as Accept-Language writes them
    active_only     whether inactive concepts are refused
    lenient         whether a wrong display is only a warning
    membership_only whether nothing but membership is asked
    infer_system    whether a code without a system gets the one that has it in the value set
    """

    abstract: bool = True
    language: str | None = None
    active_only: bool = False
    lenient: bool = False
    membership_only: bool = False
    infer_system: bool = False


@dataclass(frozen=True, slots=True)
class _Use:
    """A version of a code system as a value set uses it: what it states, what is wanted instead, what there is."""

    stated: str | None
    wanted: str | None
    source: Source | None


@dataclass(slots=True)
class _Judged:
    """What is known of one coding so far. `belongs` is None while that cannot be told."""

    coding: Coding
    belongs: bool | None = None
    findings: list[Finding] | None = None
    unknown: list[tuple[str, str]] | None = None
    source: Source | None = None
    concept: Concept | None = None
    display: str | None = None
    normalized: str | None = None

    def say(self, name: str, text: str, place: str | None, *, severity: str | None = None, aloud: bool = True) -> None:
        usual, code, kind = _FINDINGS[name]
        found = Finding(severity or usual, code, kind, text, name, place, None, aloud)
        self.findings = [*(self.findings or []), found]

    @property
    def all(self) -> list[Finding]:
        return self.findings or []


class Judge:
    """Answers one question. `expander` makes an expander, for one version of one code system only where it is told."""

    def __init__(
        self,
        sources: FindSources,
        value_set: FindValueSet,
        expander: MakeExpander,
        policy: versions.Policy,
        asked: Asked,
    ) -> None:
        self._sources, self._value_set, self._expander = sources, value_set, expander
        self._policy, self._asked = policy, asked
        self._languages = languages.wanted(asked.language)
        self._known_sets: dict[str, ValueSet] = {}

    async def in_value_set(self, value_set: ValueSet, codings: Sequence[Coding], form: str) -> Validation:
        """`form` is how the codings came: code, Coding, or CodeableConcept. Raises as Expander.keep does."""
        judged = [await self._in_value_set(value_set, coding) for coding in codings]
        if form != "CodeableConcept":
            return _told(judged, form)
        if not judged:
            judged = [_Judged(Coding(None, ""), belongs=False)]
        one_belongs = any(each.belongs for each in judged)
        for each in judged:
            foreign = one_belongs and each.belongs is False and each.source is None
            each.findings = [_as_one_of_several(finding, foreign=foreign) for finding in each.all]
        if not any(each.belongs for each in judged) and any(each.belongs is False for each in judged):
            text = f"No valid coding was found for the value set '{value_set.canonical}'"
            judged[0].say("TX_GENERAL_CC_ERROR_MESSAGE", text, None)
        return _told(judged, form)

    async def in_system(self, codings: Sequence[Coding], form: str) -> Validation:
        """Whether each coding is one of its code system (CodeSystem/$validate-code)."""
        return _told([await self._in_system(coding) for coding in codings], form)

    # --- one coding

    async def _in_system(self, coding: Coding) -> _Judged:
        judged = _Judged(coding)
        if not coding.code:
            return _without_code(judged)
        if coding.system is None:
            _say_no_system(judged)
            return judged
        known = await self._sources(coding.system)
        usable = [source for source in known if source.header.content in ("complete", "fragment")]
        if not usable:
            await self._say_what_it_is(judged, "x-caused-by-unknown-system")
            return judged
        wanted = coding.version or self._policy.wanted(coding.system, None)
        judged.source = _chosen(usable, wanted)
        if judged.source is None:
            self._say_unknown_version(judged, wanted, usable)
            return judged
        await self._find(judged, judged.source)
        self._say_status(judged.source.header, None, judged)
        if judged.concept is None:
            self._say_no_such_code(judged)
        else:
            self._judge_concept(judged)
        judged.belongs = True
        return judged

    async def _in_value_set(self, value_set: ValueSet, coding: Coding) -> _Judged:
        judged = _Judged(coding)
        if not coding.code:
            return _without_code(judged)
        if coding.system is None:
            judged = await self._inferred(value_set, judged)
            if judged.coding.system is None:
                return judged
        try:
            uses = await self._uses(value_set, judged.coding.system or "", judged.coding.version)
        except UnknownTerminology as problem:
            judged.say("Unable_to_resolve_value_Set_", str(problem), None)
            return judged
        await self._judge(value_set, judged, uses)
        return judged

    async def _inferred(self, value_set: ValueSet, judged: _Judged) -> _Judged:
        coding, canonical = judged.coding, value_set.canonical
        if not self._asked.infer_system:
            _say_no_system(judged)
            self._say_not_in(value_set, judged)
            return judged
        found = [
            system
            for system in dict.fromkeys(p.system for each in await self._reach(value_set) for p in each.includes)
            if system is not None
            if coding.code in await self._expander(None).keep(value_set, system, [coding.code])
        ]
        if len(found) == 1:
            judged.coding = replace(coding, system=found[0])
            return judged
        text = f"The System URI could not be determined for the code '{coding.code}' in the ValueSet '{canonical}'"
        name = "UNABLE_TO_INFER_CODESYSTEM"
        if found:
            name = "Unable_to_resolve_system__value_set_has_multiple_matches"
            text += f": value set expansion has multiple matches: [{', '.join(sorted(found))}]"
        judged.say(name, text, "code")
        self._say_not_in(value_set, judged)
        return judged

    async def _judge(self, value_set: ValueSet, judged: _Judged, uses: list[_Use]) -> None:
        coding = judged.coding
        system = coding.system or ""
        known = [source for source in await self._sources(system) if source.header.has_members]
        if not known:
            if not (uses and await self._is_listed(value_set, judged)):
                await self._say_system_is_wrong(value_set, judged, needed=bool(uses))
            return
        if coding.version is not None and _chosen(known, coding.version) is None:
            self._say_unknown_version(judged, coding.version, known)
        if not uses:
            self._say_not_in(value_set, judged)
            await self._find(judged, _chosen(known, coding.version) or _newest(known))
            await self._say_statuses(value_set, judged)
            self._judge_stranger(judged)
            return
        fitting = [use for use in uses if use.source is not None and _agrees(use, coding)]
        if not fitting:
            self._say_mismatch(judged, uses[0])
        tried = fitting or [use for use in uses if use.source is not None]
        if not tried:
            await self._without_version(judged, uses[0], known)
            return
        for use in tried:
            if use.source is not None and (why := self._policy.refusal(system, use.source.header.version)) is not None:
                judged.say("VALUESET_VERSION_CHECK", why, "version")
                judged.belongs = True
                await self._find(judged, use.source)
                return
        await self._membership(value_set, judged, [use.source for use in tried if use.source is not None])

    async def _is_listed(self, value_set: ValueSet, judged: _Judged) -> bool:
        """Whether a value set lists the code itself: then it belongs, although its system is not known here."""
        try:
            kept = await self._expander(None).keep(value_set, judged.coding.system, [judged.coding.code])
        except UnknownCodeSystem:
            return False
        if judged.coding.code not in kept:
            return False
        concept = kept[judged.coding.code]
        judged.belongs, judged.concept = True, concept
        judged.display = languages.display(concept, value_set.language, self._languages)
        self._judge_display(judged, value_set.language)
        return True

    async def _without_version(self, judged: _Judged, use: _Use, known: list[Source]) -> None:
        """No version of the system is the one that the value set asks for: belonging cannot be told."""
        if use.wanted is not None and use.wanted != judged.coding.version:
            self._say_unknown_version(judged, use.wanted, known)
        system = judged.coding.system or ""
        other = judged.coding.version or self._policy.check.get(system) or self._policy.default.get(system)
        await self._find(judged, _chosen(known, other) or _newest(known))

    async def _membership(self, value_set: ValueSet, judged: _Judged, tried: list[Source]) -> None:
        hits: list[_Judged] = []
        for source in tried:
            attempt = _Judged(judged.coding)
            await self._find(attempt, source)
            code = attempt.concept.code if attempt.concept is not None else judged.coding.code
            expander = self._expander((source.header.url, source.header.version))
            kept = await expander.keep(value_set, judged.coding.system, [code])
            if code in kept and attempt.concept is not None:
                attempt.concept = preferred(kept[code], attempt.concept)
                attempt.display = languages.display(attempt.concept, source.header.language, self._languages)
                hits.append(attempt)
        if hits:
            best = next((hit for hit in hits if self._display_is_right(hit)), hits[0])
            self._take(judged, best)
            judged.belongs = True
            await self._say_statuses(value_set, judged)
            self._judge_concept(judged, value_set)
            if self._asked.active_only and best.concept is not None and best.concept.inactive:
                self._say_inactive_refused(judged)
                self._say_not_in(value_set, judged)
            return
        await self._find(judged, tried[0])
        await self._say_statuses(value_set, judged)
        if judged.concept is None and tried[0].header.content == "fragment" and _takes_all(value_set):
            self._say_no_such_code(judged)
            judged.belongs = True
            return
        if judged.concept is not None and judged.concept.inactive and not value_set.inactive:
            if _takes_all(value_set):
                self._say_inactive_refused(judged)
            self._say_activity(judged, judged.concept)
        self._judge_stranger(judged)
        self._say_not_in(value_set, judged)

    def _judge_stranger(self, judged: _Judged) -> None:
        """What is wrong with a code that does not belong, in itself."""
        if self._asked.membership_only:
            return
        if judged.concept is None:
            self._say_no_such_code(judged)
        elif judged.source is not None:
            self._judge_display(judged, judged.source.header.language)

    @staticmethod
    def _take(judged: _Judged, hit: _Judged) -> None:
        judged.source, judged.concept = hit.source, hit.concept
        judged.display, judged.normalized = hit.display, hit.normalized

    async def _find(self, judged: _Judged, source: Source) -> None:
        """The concept of the code in a version of its system, with all that is known of it."""
        judged.source = source
        concept = await source.resolve(judged.coding.code)
        if concept is None:
            return
        known = (await source.details([concept.code])).get(concept.code)
        judged.concept = preferred(concept, known)
        judged.display = languages.display(judged.concept, source.header.language, self._languages)
        judged.normalized = concept.code if concept.code != judged.coding.code else None

    # --- what a value set uses

    async def _uses(self, value_set: ValueSet, system: str, version: str | None) -> list[_Use]:
        """The versions of a system that a value set asks for; of several that fit, that of the coding or the newest."""
        known = [source for source in await self._sources(system) if source.header.has_members]
        uses: list[_Use] = []
        parts = [part for each in await self._reach(value_set) for part in each.includes if part.system == system]
        for stated in dict.fromkeys(part.version for part in parts):
            wanted = self._policy.wanted(system, stated)
            own = _chosen(known, version) if version is not None and versions.fits(version, wanted) else None
            uses.append(_Use(stated, wanted, own or _chosen(known, wanted)))
        newest_first = versions.by_age([use.source for use in uses if use.source is not None], _said_of)
        return sorted(uses, key=lambda use: newest_first.index(use.source) if use.source is not None else 0)

    async def _reach(self, value_set: ValueSet) -> list[ValueSet]:
        """A value set and all that it imports, each once. Raises Unusable for a circle, TooCostly for too many."""
        reached: dict[str, ValueSet] = {}

        async def visit(one: ValueSet, path: tuple[str, ...]) -> None:
            name = one.canonical if one.url is not None else f"#{id(one)}"
            if name in path:
                raise circular(name, path)
            check_usable(one, path)
            if name in reached:
                return
            reached[name] = one
            if len(reached) > MAX_STEPS:
                raise TooCostly("this value set imports too many others")
            for reference in dict.fromkeys(each for part in one.includes for each in part.value_sets):
                await visit(await self._imported(one, reference), (*path, name))

        await visit(value_set, ())
        return list(reached.values())

    async def _imported(self, value_set: ValueSet, reference: str) -> ValueSet:
        if reference in value_set.contained:
            return value_set.contained[reference]
        if reference in self._known_sets:
            return self._known_sets[reference]
        url, version = versions.canonical(reference)
        asked = f"{url}|{version or self._policy.value_sets[url]}" if url in self._policy.value_sets else reference
        found = await self._value_set(asked)
        if found is None:
            raise unknown_value_set(asked)
        self._known_sets[reference] = found
        return found

    # --- what there is to say

    def _say_not_in(self, value_set: ValueSet, judged: _Judged) -> None:
        coding = judged.coding
        version = f"|{coding.version}" if coding.version else ""
        display = f" ('{coding.display}')" if coding.display else ""
        text = (
            f"The provided code '{coding.system or ''}{version}#{coding.code}{display}'"
            f" was not found in the value set '{value_set.canonical}'"
        )
        judged.belongs = False
        judged.say("None_of_the_provided_codes_are_in_the_value_set_one", text, "code")

    def _say_no_such_code(self, judged: _Judged) -> None:
        assert judged.source is not None
        header, code = judged.source.header, judged.coding.code
        version = f" version '{header.version}'" if header.version else ""
        if header.content == "fragment":
            text = (
                f"Unknown Code '{code}' in the CodeSystem '{header.url}'{version} - note that the code system is"
                " labeled as a fragment, so the code may be valid in some other fragment"
            )
            judged.say("UNKNOWN_CODE_IN_FRAGMENT", text, "code", aloud=False)
            return
        text = f"Unknown code '{code}' in the CodeSystem '{header.url}'{version}"
        judged.say("Unknown_Code_in_Version", text, "code")

    async def _say_system_is_wrong(self, value_set: ValueSet, judged: _Judged, *, needed: bool) -> None:
        if not needed:
            self._say_not_in(value_set, judged)
        if not self._asked.membership_only:
            await self._say_what_it_is(judged, "x-caused-by-unknown-system" if needed else "x-unknown-system")

    async def _say_what_it_is(self, judged: _Judged, parameter: str) -> None:
        """What stands where a code system should; `parameter` names one that is not known."""
        system = judged.coding.system or ""
        supplements = [each.header for each in await self._sources(system) if each.header.content == "supplement"]
        if ":" not in system:
            text = "Coding.system must be an absolute reference, not a local reference"
            judged.say("Terminology_TX_System_Relative", text, "system")
        elif await self._value_set(system) is not None:
            text = f"The Coding references a value set, not a code system ('{system}')"
            judged.say("Terminology_TX_System_ValueSet2", text, "system")
            return
        elif supplements:
            text = (
                f"CodeSystem {supplements[0].canonical} is a supplement, so can't be used as a value in Coding.system"
            )
            judged.say("CODESYSTEM_CS_NO_SUPPLEMENT", text, "system")
            judged.unknown = [*(judged.unknown or []), (parameter, system)]
            return
        self._say_unknown(judged, parameter)

    @staticmethod
    def _say_unknown(judged: _Judged, parameter: str) -> None:
        system, version = judged.coding.system or "", judged.coding.version
        if version is None:
            text = f"A definition for CodeSystem '{system}' could not be found, so the code cannot be validated"
        else:
            text = (
                f"A definition for CodeSystem '{system}' version '{version}' could not be found, so the code cannot be"
                " validated. No versions of this code system are known"
            )
        judged.say("UNKNOWN_CODESYSTEM" if version is None else "UNKNOWN_CODESYSTEM_VERSION_NONE", text, "system")
        judged.unknown = [*(judged.unknown or []), (parameter, system)]

    def _say_unknown_version(self, judged: _Judged, version: str | None, known: list[Source]) -> None:
        if self._asked.membership_only:
            return
        system = judged.coding.system or ""
        there = listed([source.header.version or "" for source in known])
        text = (
            f"A definition for CodeSystem '{system}' version '{version}' could not be found, so the code cannot be"
            f" validated. Valid versions: {there}"
        )
        judged.say("UNKNOWN_CODESYSTEM_VERSION", text, "system")
        judged.unknown = [*(judged.unknown or []), ("x-caused-by-unknown-system", f"{system}|{version}")]

    @staticmethod
    def _say_mismatch(judged: _Judged, use: _Use) -> None:
        coding = judged.coding
        if coding.version is None or (use.wanted is not None and versions.fits(coding.version, use.wanted)):
            return
        end = f"in the ValueSet include is different to the one in the value ('{coding.version}')"
        if use.wanted is None:
            version = use.source.header.version if use.source is not None else None
            text = f"The code system '{coding.system}' version '{version}' for the versionless include {end}"
            needed = use.source is not None and use.source.header.version_needed
            severity = "error" if needed else None
            judged.say("VALUESET_VALUE_MISMATCH_DEFAULT", text, "version", severity=severity, aloud=needed)
        elif use.wanted != use.stated:
            changed = f"version '{use.wanted}' resulting from the version '{use.stated or ''}'"
            text = f"The code system '{coding.system}' {changed} {end}"
            judged.say("VALUESET_VALUE_MISMATCH_CHANGED", text, "version")
        else:
            text = f"The code system '{coding.system}' version '{use.stated}' {end}"
            judged.say("VALUESET_VALUE_MISMATCH", text, "version")

    @staticmethod
    def _say_inactive_refused(judged: _Judged) -> None:
        text = f"The concept '{judged.coding.code}' is valid but is not active"
        judged.say("STATUS_CODE_WARNING_CODE", text, "code")

    @staticmethod
    def _say_activity(judged: _Judged, concept: Concept) -> None:
        status = concept.status
        if concept.inactive:
            said = f"{status} and inactive" if status not in (None, "inactive") else "inactive"
            text = f"The concept '{concept.code}' has a status of {said} and its use should be reviewed"
            judged.say("INACTIVE_CONCEPT_FOUND", text, "")
        elif status == "deprecated":
            text = f"The concept '{concept.code}' is deprecated and its use should be reviewed"
            judged.say("DEPRECATED_CONCEPT_FOUND", text, "code")

    async def _say_statuses(self, value_set: ValueSet, judged: _Judged) -> None:
        """What is a draft, deprecated, withdrawn or experimental, and a place in the value set that is given up."""
        if judged.source is not None:
            self._say_status(judged.source.header, value_set, judged)
        for each in await self._reach(value_set):
            self._say_status(each, value_set, judged)
            if judged.belongs and (status := each.given_up(judged.coding.system, judged.coding.code)) is not None:
                text = (
                    f"The presence of the concept '{judged.coding.code}' in the system '{judged.coding.system}' in the"
                    f" value set {each.canonical} is marked with a status of {status} and its use should be reviewed"
                )
                judged.say("CONCEPT_DEPRECATED_IN_VALUESET", text, "code", aloud=False)

    @staticmethod
    def _say_status(used: CodeSystem | ValueSet, source: ValueSet | None, judged: _Judged) -> None:
        """Nothing is said of what is an experiment or a draft like the value set that refers to it."""
        is_experiment = used.experimental and not (source is not None and source.experimental)
        drafts = ("draft" in (each.status, each.standards_status) for each in (used, source) if each is not None)
        standing = None
        if used.standards_status in _GONE:
            standing = used.standards_status
        elif used.status == "retired":
            standing = "retired"
        elif is_experiment:
            standing = "experimental"
        elif list(drafts) in ([True], [True, False]):
            standing = "draft"
        if standing is not None:
            kind = "CodeSystem" if isinstance(used, CodeSystem) else "ValueSet"
            judged.say(f"MSG_{standing.upper()}", f"Reference to {standing} {kind} {used.canonical}", None, aloud=False)

    # --- the concept itself

    def _judge_concept(self, judged: _Judged, value_set: ValueSet | None = None) -> None:
        concept, coding, source = judged.concept, judged.coding, judged.source
        assert concept is not None and source is not None
        if self._asked.membership_only:
            return
        if concept.abstract and not self._asked.abstract:
            text = f"Code '{coding.system}#{coding.code}' is abstract, and not allowed in this context"
            judged.say("ABSTRACT_CODE_NOT_ALLOWED", text, "code")
            if value_set is not None:
                self._say_not_in(value_set, judged)
        self._say_activity(judged, concept)
        if judged.normalized is not None and judged.normalized.casefold() == coding.code.casefold():
            text = (
                f"The code '{coding.code}' differs from the correct code '{judged.normalized}' by case. Although the"
                f" code system '{source.header.canonical}' is case insensitive, implementers are strongly encouraged to"
                " use the correct case anyway"
            )
            judged.say("CODE_CASE_DIFFERENCE", text, "code", aloud=False)
        self._judge_display(judged, source.header.language)

    def _display_is_right(self, judged: _Judged) -> bool:
        attempt = _unsaid(judged)
        self._judge_display(attempt, judged.source.header.language if judged.source is not None else None)
        return not any(finding.severity in ("error", "warning") for finding in attempt.all)

    def _judge_display(self, judged: _Judged, language: str | None) -> None:
        concept, coding = judged.concept, judged.coding
        assert concept is not None
        told = languages.texts(concept, language)
        if coding.display is None or not told:
            return
        asked, given = self._languages, coding.display
        accepted = languages.among(told, asked) if asked is not None else told
        if any(_same(given, each.value) for each in accepted):
            return
        name = f"{coding.system}#{coding.code}"
        severity = "warning" if self._asked.lenient else "error"
        if not accepted and asked is not None:
            if any(_same(given, each.value) for each in told):
                text = (
                    f"There are no valid display names found for the code {name} for language(s) '{asked.said}'."
                    f" The display is '{given}' which is a valid display for the default language"
                )
                judged.say("NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_OK", text, "display")
            else:
                text = (
                    f"Wrong Display Name '{given}' for {name}. There are no valid display names found for language(s)"
                    f" '{asked.said}'. Default display is '{concept.display}'"
                )
                judged.say("NO_VALID_DISPLAY_FOUND_NONE_FOR_LANG_ERR", text, "display", severity=severity)
            return
        old = next((d for d in concept.designations if d.status in _GONE and _same(given, d.value)), None)
        if old is not None:
            text = (
                f"'{given}' is no longer considered a correct display for code '{coding.code}'"
                f" (status = {old.status})."
                f' The correct display is one of "{concept.display}".'
            )
            judged.say("INACTIVE_DISPLAY_FOUND", text, "display", aloud=False)
            return
        spaced = any(_plain(given) == _plain(each.value) for each in accepted)
        wrong = "Wrong whitespace in Display Name" if spaced else "Wrong Display Name"
        text = (
            f"{wrong} '{given}' for {name}. {_choices(accepted)}"
            f" (for the language(s) '{asked.said if asked is not None else '--'}')"
        )
        name = f"Display_Name_{'WS_' if spaced else ''}for__should_be_one_of__instead_of"
        judged.say(name, text, "display", severity=severity)


def _unsaid(judged: _Judged) -> _Judged:
    """The same coding and concept, with nothing said yet."""
    return _Judged(judged.coding, source=judged.source, concept=judged.concept, display=judged.display)


def _choices(accepted: Sequence[Designation]) -> str:
    named = [*accepted[:1], *(each for each in accepted[1:] if each.use is None)]
    told = list(dict.fromkeys(f"'{d.value}'" + (f" ({d.language})" if d.language else "") for d in named))
    if len(told) == 1:
        return f"Valid display is {told[0]}"
    return f"Valid display is one of {len(told)} choices: {', '.join(told[:-1])} or {told[-1]}"


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _without_code(judged: _Judged) -> _Judged:
    """A coding that says nothing, as some senders write beside a text."""
    text = f"Coding has no code for system {judged.coding.system} and cannot be validated"
    judged.say(_NO_CODE, text, "")
    judged.belongs = False
    return judged


def _say_no_system(judged: _Judged) -> None:
    text = (
        "Coding has no system. A code with no system has no defined meaning, and it cannot be validated. A system"
        " should be provided"
    )
    judged.say("Coding_has_no_system__cannot_validate", text, "")


def _chosen(known: Sequence[Source], version: str | None) -> Source | None:
    return versions.chosen(known, version, _said_of)


def _said_of(source: Source) -> tuple[str | None, str | None]:
    return source.header.standing


def _newest(known: Sequence[Source]) -> Source:
    found = _chosen(known, None)
    assert found is not None
    return found


def _agrees(use: _Use, coding: Coding) -> bool:
    assert use.source is not None
    return coding.version is None or coding.version == use.source.header.version


def _takes_all(value_set: ValueSet) -> bool:
    return any(part.concepts is None and not part.filters and not part.value_sets for part in value_set.includes)


def _as_one_of_several(finding: Finding, *, foreign: bool) -> Finding:
    """Beside a coding that belongs, one of a system that nobody here knows is no fault: senders add their own."""
    if finding.kind != "not-in-vs":
        return replace(finding, severity="warning", is_message=False) if foreign else finding
    return replace(finding, severity="information", kind="this-code-not-in-vs", is_message=False)


def _told(judged: Sequence[_Judged], form: str) -> Validation:
    """The answer of all: of one coding everything, of several what concerns the first that belongs."""
    findings: list[Finding] = []
    unknown: list[tuple[str, str]] = []
    for number, each in enumerate(judged):
        findings += [_placed(finding, form, number) for finding in each.all]
        unknown += each.unknown or []
    findings = list(dict.fromkeys(findings))
    found_in = {
        number: each.source.header.version
        for number, each in enumerate(judged)
        if not each.belongs and each.concept is not None and each.source is not None and each.coding.version is None
        if each.source.header.version is not None
    }
    errors = [finding for finding in findings if finding.severity == "error"]
    whole = form == "CodeableConcept"
    best = next((each for each in judged if each.belongs), None)
    if best is None and not whole and any(each.belongs is None and each.source is not None for each in judged):
        best = next(each for each in judged if each.belongs is None and each.source is not None)
    chosen = best if best is not None or whole or not judged else judged[0]
    told = [finding.text for finding in findings if finding.is_message and finding.severity != "error"]
    message = "; ".join(sorted(dict.fromkeys([*(finding.text for finding in errors), *told]))) or None
    belongs = best is not None and best.belongs is not False
    result = belongs and not errors
    if chosen is None:
        told = tuple(findings), None
        return Validation(result, message, None, *told, unknown=tuple(dict.fromkeys(unknown)), found_in=found_in)
    concept = chosen.concept
    version = chosen.source.header.version if chosen.source is not None else None
    return Validation(
        result,
        message,
        chosen.display,
        tuple(findings),
        replace(chosen.coding, version=version),
        inactive=concept is not None and concept.inactive,
        status=_told_status(concept),
        unknown=tuple(dict.fromkeys(unknown)),
        normalized=chosen.normalized,
        found_in=found_in,
    )


def _told_status(concept: Concept | None) -> str | None:
    """The status to answer beside `inactive`, where it says more."""
    if concept is None or concept.status in (None, "inactive"):
        return None
    return concept.status if concept.inactive or concept.status == "deprecated" else None


def _placed(finding: Finding, form: str, number: int) -> Finding:
    if finding.place is None:
        return finding
    if form == "code":
        return replace(finding, at=finding.place or "code")
    start = "Coding" if form == "Coding" else f"CodeableConcept.coding[{number}]"
    return replace(finding, at=f"{start}.{finding.place}" if finding.place else start)
