"""Which version is meant."""

import pytest

from healthsync.domains.terminology.versions import canonical, chosen


@pytest.mark.parametrize(
    ("versions", "asked", "expected"),
    [
        (["2.9", "2.10"], None, "2.10"),
        (["1.0", "1.0-ballot"], None, "1.0"),
        (["1.0", "1.0.1"], None, "1.0.1"),
        (["2018-08-12", "2019-01-01"], None, "2019-01-01"),
        ([None, "1"], None, "1"),
        (["1", "2"], "1", "1"),
        (["1"], "2", None),
        ([], None, None),
    ],
)
def test_the_newest_is_meant_unless_one_is_named(versions, asked, expected):
    assert chosen(versions, asked, lambda v: (v, "active")) == expected


def test_a_retired_one_is_meant_only_when_named_or_alone():
    candidates = [("1", "active"), ("2", "retired")]
    assert chosen(candidates, None, lambda c: c) == ("1", "active")
    assert chosen(candidates, "2", lambda c: c) == ("2", "retired")
    assert chosen(candidates[1:], None, lambda c: c) == ("2", "retired")


def test_a_canonical_has_a_version_or_none():
    assert (canonical("http://x|1"), canonical("http://x"), canonical("http://x|")) == (
        *(("http://x", "1"), ("http://x", None), ("http://x", None)),
    )
