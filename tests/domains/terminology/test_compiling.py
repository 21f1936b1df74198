"""Resources become compiled terminology."""

import pytest

from healthsync.domains.terminology import compiling
from healthsync.errors import InvalidInput


def test_hierarchy_comes_from_nesting_and_from_parent_properties(animals):
    concepts = {c.code: c for c in compiling.code_system(animals).concepts}
    assert list(concepts) == ["animal", "mammal", "cat", "mouse", "bat", "flyer", "dodo"]
    assert concepts["cat"].parents == ("mammal",)
    assert concepts["bat"].parents == ("mammal", "flyer")
    assert concepts["animal"].parents == ()


def test_child_properties_are_parents_seen_from_above():
    resource = {
        "url": "http://x",
        "property": [{"code": "has", "uri": "http://hl7.org/fhir/concept-properties#child", "type": "code"}],
        "concept": [{"code": "a", "property": [{"code": "has", "valueCode": "b"}]}, {"code": "b"}],
    }
    assert compiling.code_system(resource).concepts[1].parents == ("a",)


def test_abstract_and_inactive_are_understood_under_any_name_the_system_gives_them(animals):
    concepts = {c.code: c for c in compiling.code_system(animals).concepts}
    assert [code for code, c in concepts.items() if c.abstract] == ["animal"]
    assert [code for code, c in concepts.items() if c.inactive] == ["dodo"]


def test_a_retired_status_is_inactive():
    resource = {"url": "http://x", "concept": [{"code": "a", "property": [{"code": "status", "valueCode": "retired"}]}]}
    assert compiling.code_system(resource).concepts[0].inactive


def test_a_code_given_twice_counts_once_and_a_concept_is_never_its_own_parent():
    nested = {"code": "a", "concept": [{"code": "a", "display": "again"}, {"code": "b"}]}
    concepts = compiling.code_system({"url": "http://x", "concept": [nested]}).concepts
    assert [(c.code, c.display, c.parents) for c in concepts] == [("a", None, ()), ("b", None, ("a",))]


def test_a_tree_of_any_depth_is_compiled():
    concept = {"code": "c0"}
    for n in range(1, 5000):
        concept = {"code": f"c{n}", "concept": [concept]}
    assert len(compiling.code_system({"url": "http://x", "concept": [concept]}).concepts) == 5000


def test_a_value_set_that_has_only_an_expansion_is_what_that_lists():
    contains = [
        {"system": "s", "code": "a", "contains": [{"system": "s", "code": "b", "inactive": True}]},
        {"display": "x"},
    ]
    parts = compiling.value_set({"url": "http://v", "expansion": {"contains": contains}}).includes
    assert [(p.system, list(p.concepts or ())) for p in parts] == [("s", ["a", "b"])]


@pytest.mark.parametrize(
    "include",
    [
        {},
        {"concept": [{"code": "a"}]},
        {"system": "s", "concept": [{"code": "a"}], "filter": [{"property": "p", "op": "=", "value": "v"}]},
        {"system": "s", "filter": [{"property": "p", "op": "cousin-of", "value": "v"}]},
    ],
)
def test_an_include_that_breaks_the_rules_of_a_value_set_is_refused(include):
    with pytest.raises(InvalidInput):
        compiling.value_set({"url": "http://v", "compose": {"include": [include]}})


def test_each_target_of_a_map_is_a_line_and_a_code_without_target_says_so():
    group = {
        "source": "s",
        "target": "t",
        "element": [
            {"code": "a", "target": [{"code": "x", "equivalence": "wider"}, {"code": "y", "equivalence": "narrower"}]},
            {"code": "b"},
        ],
    }
    lines = compiling.concept_map({"url": "http://m", "group": [group]}).entries
    assert [(e.source_code, e.equivalence, e.target and e.target.code) for e in lines] == [
        ("a", "wider", "x"),
        ("a", "narrower", "y"),
        ("b", "unmatched", None),
    ]
