"""A coding is judged by its concept."""

import pytest

from healthsync.domains.terminology.model import Coding, Concept, Designation
from healthsync.domains.terminology.validation import Context, judged

CAT = Concept("cat", "House cat", designations=(Designation("Hauskatze", "de-CH"), Designation("Felis")))


@pytest.mark.parametrize(
    ("concept", "display", "context", "result", "answered"),
    [
        (CAT, None, Context(), True, "House cat"),
        (CAT, "house  CAT ", Context(), True, "House cat"),
        (CAT, "felis", Context(), True, "House cat"),
        (CAT, "House cat", Context(language="de"), True, "Hauskatze"),
        (CAT, "Tiger", Context(language="de-CH"), False, "Hauskatze"),
        (CAT, "Tiger", Context(language="fr"), False, "House cat"),
        (Concept("x"), "anything", Context(), True, None),
        (Concept("a", "Animal", abstract=True), None, Context(), True, "Animal"),
        (Concept("a", "Animal", abstract=True), None, Context(abstract=False), False, "Animal"),
    ],
)
def test_a_display_is_right_when_the_concept_has_it(concept, display, context, result, answered):
    told = judged(concept, Coding("s", concept.code, display), context)
    assert (told.result, told.display, told.message is None) == (result, answered, result)
