"""In which language a concept is told."""

from __future__ import annotations

import pytest

from healthsync.domains.terminology import languages
from healthsync.domains.terminology.errors import Unusable
from healthsync.domains.terminology.model import Concept, Designation

CAT = Concept(
    "cat",
    "House cat",
    designations=(Designation("Hauskatze", "de-CH"), Designation("Mietze", "de", status="deprecated")),
)


@pytest.mark.parametrize(
    ("text", "tags", "others"),
    [
        ("de", ("de",), True),
        ("en, de;q=0.9, *;q=0", ("en", "de"), False),
        ("fr;q=0.1,de-CH", ("de-ch", "fr"), True),
        ("de;q=0, en", ("en",), True),
    ],
)
def test_weights_order_the_languages(text, tags, others):
    asked = languages.wanted(text)
    assert asked is not None and (asked.tags, asked.others) == (tags, others)


@pytest.mark.parametrize("text", [None, "", "  ", "*"])
def test_nothing_asked_is_nothing(text):
    assert languages.wanted(text) is None


@pytest.mark.parametrize("text", ["-", "de_CH", "english please", "de;q=2"])
def test_what_is_no_language_is_refused_with_a_sentence(text):
    with pytest.raises(Unusable, match="Invalid displayLanguage") as told:
        languages.wanted(text)
    assert told.value.details["coding"][0]["code"] == "invalid-display"


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        (None, "House cat"),
        ("de", "Hauskatze"),
        ("de-CH", "Hauskatze"),
        ("de-AT", "House cat"),
        ("fr", "House cat"),
        ("fr, *;q=0", None),
        ("en", "House cat"),
    ],
)
def test_the_display_is_of_the_language_where_there_is_one(asked, shown):
    assert languages.display(CAT, "en", languages.wanted(asked)) == shown
