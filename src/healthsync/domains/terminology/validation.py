"""Is a coding right, once its concept is found? (terminology-service.html#4.7.4). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from healthsync.domains.terminology.model import Coding, Concept, Validation


@dataclass(frozen=True, slots=True)
class Context:
    """What the code is for: whether a concept that only groups others will do, and the language to answer in."""

    abstract: bool = True
    language: str | None = None


ANY_CONTEXT = Context()


def judged(concept: Concept, coding: Coding, context: Context) -> Validation:
    """A display is right when it is the concept's or one of its designations, whatever the case and spacing."""
    display = concept.display_in(context.language)
    if concept.abstract and not context.abstract:
        return Validation(False, "the concept is abstract: it groups others and is not for selection", display)
    accepted = {concept.display, display, *(designation.value for designation in concept.designations)}
    accepted = {_spoken(text) for text in accepted if text is not None}
    if coding.display is None or not accepted or _spoken(coding.display) in accepted:
        return Validation(True, None, display)
    return Validation(False, "the display is none of this code; the right one is in 'display'", display)


def _spoken(text: str) -> str:
    return " ".join(text.casefold().split())
