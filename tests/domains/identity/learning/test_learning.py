"""A model that learns from reviews: what it sees, that it is plain arithmetic, what it may do and never does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from tests.boosting import lightgbm, needs_boosting
from tests.domains.identity.learning.reviews import MEASURES, WEIGHTS, always, compared, reviewed

from healthsync.bootstrap import _deciding
from healthsync.domains.identity import Comparison, Demographics, Grade, Rule
from healthsync.domains.identity.learning import (
    FEATURES,
    ByLearned,
    Example,
    LearnedModel,
    Reader,
    SourceRates,
    train,
    training,
)
from healthsync.domains.identity.learning.features import UNTOLD, meaning
from healthsync.domains.identity.learning.trees import Branch, Leaf, Trees, from_document, to_document
from healthsync.domains.identity.levels import LEVELS, levels_between
from healthsync.domains.identity.model import Address
from healthsync.domains.identity.weighing import gate
from healthsync.errors import ConfigurationError, InvalidInput
from healthsync.settings import load_settings

pytestmark = needs_boosting

FIELDS = len(LEVELS)


@pytest.fixture(scope="module")
def model() -> LearnedModel:
    return train(reviewed(), WEIGHTS.weights, {"east": 0.9, "west": 0.6})


def vectors() -> st.SearchStrategy[list[int]]:
    """Any vector: what each field can say, and the rest of its scale."""
    levels = [st.integers(0, len(names)) for names in LEVELS.values()]
    rest = {"agreement": (-40, 90), "given_rarity": (0, 15), "family_rarity": (0, 15)}
    others = [st.integers(*rest.get(each.name, (0, 1) if each.raises else (0, 20))) for each in FEATURES[FIELDS:]]
    return st.tuples(*levels, *others).map(list)


# --- what it sees


def test_a_vector_says_how_each_field_agrees_and_how_much_is_told() -> None:
    one = Demographics(
        first_names=frozenset({"signe"}), families=frozenset({"holm"}), birth_dates=frozenset({date(1967, 12, 13)}),
        sexes=frozenset({"female"}), phones=frozenset({"18595550133"}),
    )  # fmt: skip
    other = structs.replace(one, first_names=frozenset({"signy"}), sexes=frozenset({"male"}), phones=frozenset())
    signals = MEASURES.signals(levels_between(one, other), one, other)
    told = {
        feature.name: (value, meaning(at, value)) for at, (feature, value) in enumerate(zip(FEATURES, signals, strict=False))
    }  # fmt: skip
    assert told["birth_date"] == (len(LEVELS["birth_date"]), "exact")
    assert told["given"] == (5, "close")
    assert told["sex"] == (0, "differs")
    assert told["phone"] == (UNTOLD, "missing")
    assert told["family_rarity"] == (13, "rare value")
    assert [told[name][0] for name in ("told_by_both", "told_least", "told_most")] == [4, 4, 5]
    assert len(signals) == len(FEATURES) - 4


def test_the_sources_of_a_pair_are_told_by_their_rates_and_unknown_ones_by_the_mean() -> None:
    rates = SourceRates({"": 0.5, "east": 0.9}, {"": 1.0, "east": 0.25})
    assert rates.steps(["east"], ["east"]) == (18, 18, 5, 5)
    assert rates.steps(["east"], ["nobody"]) == (10, 18, 5, 20)
    assert rates.steps([], []) == (10, 10, 20, 20)


def test_what_two_records_say_together_has_all_their_sources() -> None:
    east, west = (Demographics(sources=frozenset({source})) for source in ("east", "west"))
    assert (east | west).sources == {"east", "west"}


# --- plain arithmetic


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(vectors(), min_size=1, max_size=20))
def test_scores_and_contributions_are_those_of_the_library(seed: int, asked: list[list[int]]) -> None:
    chance = np.random.default_rng(seed)
    rows = chance.integers(0, 9, (400, len(FEATURES))).astype(float)
    labels = (rows[:, 0] + chance.normal(0, 3, 400) > rows[:, 1]).astype(float)
    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 8, "max_depth": 3, "num_threads": 1, "verbosity": -1, "min_data_in_leaf": 5},
        lightgbm.Dataset(rows, labels, params={"verbosity": -1}),
        num_boost_round=15,
    )  # fmt: skip
    ours = Trees([training._tree(tree["tree_structure"]) for tree in booster.dump_model()["tree_info"]])
    wanted = np.array(asked, float)
    for vector, raw, why in zip(
        asked, booster.predict(wanted, raw_score=True), booster.predict(wanted, pred_contrib=True), strict=True
    ):
        assert ours.raw(vector) == pytest.approx(raw, abs=1e-9)
        assert ours.contributions(vector) == pytest.approx(why[:-1], abs=1e-6)
        assert ours.expected == pytest.approx(why[-1], abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(vectors())
def test_contributions_add_up_to_the_score(model: LearnedModel, vector: list[int]) -> None:
    prior, steps = model.steps(vector)
    assert prior + sum(step.bits for step in steps) == pytest.approx(model.trees.raw(vector) / log(2))


@settings(max_examples=200, deadline=None)
@given(vectors(), st.data())
def test_more_agreement_never_lowers_a_score(model: LearnedModel, vector: list[int], data: st.DataObject) -> None:
    at = data.draw(st.sampled_from([at for at, feature in enumerate(FEATURES) if feature.raises]))
    more = list(vector)
    more[at] += FEATURES[at].raises * data.draw(st.integers(1, 8))
    assert model.trees.raw(more) >= model.trees.raw(vector)


def test_a_tree_is_read_as_it_was_written_and_nothing_else_is_one() -> None:
    tree = Branch(2, 5, Leaf(-0.5, 30), Branch(0, 1, Leaf(0.25, 20), Leaf(1.0, 25), 45), 75)
    assert from_document(json.loads(json.dumps(to_document(tree))), 3) == tree
    for wrong in ([2, 5, [0.1, 3]], [9, 5, [0.1, 3], [0.2, 3], 6], ["__import__", 1], [0.5, 0], {}):
        with pytest.raises(ValueError, match="no tree"):
            from_document(wrong, 3)


# --- learning


def test_it_judges_pairs_better_than_the_weights_that_asked_about_them(model: LearnedModel) -> None:
    facts = model.facts
    assert facts["model"]["log_loss"] < facts["weights"]["log_loss"]
    assert facts["model"]["f1"] >= facts["weights"]["f1"]
    assert facts["model"]["wrong_links"] <= facts["weights"]["wrong_links"]
    assert facts["worse"] == []
    assert sum(each["pairs"] for each in facts["calibration"]) == facts["reviews"]["pairs"] == len(reviewed())
    assert facts["reviews"]["links"] == sum(example.is_one for example in reviewed())


def test_the_same_reviews_give_the_same_model_in_whatever_order_they_come(model: LearnedModel) -> None:
    again = train(tuple(reversed(reviewed())), WEIGHTS.weights, {"west": 0.6, "east": 0.9})
    assert again.to_json() == model.to_json()
    assert again.version == model.version
    fewer = train(reviewed()[:-1], WEIGHTS.weights, {"east": 0.9, "west": 0.6})
    assert fewer.facts["reviews"]["sha256"] != model.facts["reviews"]["sha256"]


def test_too_few_or_one_sided_reviews_are_refused_with_how_many_it_takes() -> None:
    ones = [example for example in reviewed() if example.is_one]
    for some in (reviewed()[:150], [replace(ones[0], number=at) for at in range(300)], ()):
        with pytest.raises(InvalidInput, match=rf"there are {len(some)} decided pairs.*takes 200, and 50 of each"):
            train(some, WEIGHTS.weights)


def test_a_model_that_learned_from_wrong_decisions_says_that_it_is_worse() -> None:
    blind = [replace(example, is_one=bool(example.number % 2)) for example in reviewed()]
    good = train(reviewed()[:-60], WEIGHTS.weights)
    later = reviewed()[-60:]
    facts = train([*blind[:-60], *later], WEIGHTS.weights, previous=good).facts
    assert good.version in facts["worse"]
    assert facts["since"]["previous"]["log_loss"] < facts["since"]["model"]["log_loss"]
    assert facts["since"]["model"]["pairs"] == 60


def test_sources_are_rated_by_what_was_decided_before() -> None:
    first, second = reviewed()[:2]
    (_, unknown), (_, known) = [
        training._vectors([replace(first, is_one=is_one, sources=("a", "a")), replace(second, sources=("a", "b"))], {"": 1.0})
        for is_one in (False, True)
    ]  # fmt: skip
    at = [feature.name for feature in FEATURES].index("confirmed_least")
    assert unknown[at] < known[at]
    first_vector, _ = training._vectors([replace(first, sources=("a", "a")), second], {"": 1.0})
    assert first_vector[at] == 10, "nothing is known before the first decision"


def test_nothing_that_a_record_says_stands_in_a_model(model: LearnedModel) -> None:
    stored = model.to_json()
    values = set()
    for one, other, _ in compared(5000, 1):
        for record in (one, other):
            values |= {
                *record.first_names,
                *record.families,
                *record.middles,
                *record.ssns,
                *record.phones,
                *record.emails,
            }
            values |= {born.isoformat() for born in record.birth_dates} | {place.street for place in record.addresses}
    words = set(re.findall(r"[a-z]{3,}", stored)) - {*["exact"]}
    allowed = set(re.findall(r"[a-z]{3,}", " ".join(
        [*(feature.name for feature in FEATURES), "features levels weights online depends facts labelled calibration high low pairs"
         " right said link links log loss precision recall wrong model reviews sha until worse since sources confirmed"
         " quality east west north trees"]
    )))  # fmt: skip
    assert {word for word in words - allowed if not re.fullmatch(r"[a-f]+", word)} == set()
    assert not {value for value in values if len(value) > 4 and value in stored}
    for example in reviewed():
        assert all(-60 <= value <= 60 for value in example.seen.signals), "short scales only"


def test_a_model_is_read_back_as_it_was_stored_and_anything_else_is_refused(model: LearnedModel) -> None:
    read = LearnedModel.from_json(model.to_json())
    assert read.version == model.version
    vector = (*reviewed()[0].seen.signals, *model.rates.steps(["east"], ["west"]))
    assert read.probability(vector) == model.probability(vector)
    assert read.fits(WEIGHTS.weights)
    assert not replace(read, depends={**read.depends, "weights": "online-0"}).fits(WEIGHTS.weights)
    stored = json.loads(model.to_json())
    for wrong in (
        "",
        "[]",
        "{}",
        json.dumps({**stored, "trees": [[1]]}),
        json.dumps({**stored, "features": ["given"]}),
    ):
        with pytest.raises(InvalidInput):
            LearnedModel.from_json(wrong)


def test_without_the_library_training_says_which_extra_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigurationError, match=r"healthsync\[learned\]"):
        train(reviewed(), WEIGHTS.weights)


def test_a_hub_loads_neither_the_library_nor_arrays_to_decide() -> None:
    asked = "import sys, healthsync.bootstrap; print([n for n in sys.modules if n in ('lightgbm', 'scipy', 'numpy') or n.startswith('healthsync.domains.identity.learning')])"  # fmt: skip
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=120)
    assert told.stdout.strip() == "[]"


# --- what it may do


def record(**other: object) -> Demographics:
    said = {
        "first_names": frozenset({"signe"}), "families": frozenset({"holmgren"}), "sexes": frozenset({"female"}),
        "names": frozenset({("holmgren", "signe")}), "birth_dates": frozenset({date(1967, 12, 13)}),
        "addresses": frozenset({Address("12", "oak", "", "salem", "ky", "40501")}), "middles": frozenset({"marie"}),
    }  # fmt: skip
    return Demographics(**{**said, **other})  # type: ignore[arg-type]


MISSPELT = {"families": frozenset({"holmgreen"}), "names": frozenset({("holmgreen", "signe")})}
BARE: dict[str, object] = {"addresses": frozenset(), "middles": frozenset(), "sexes": frozenset()}


def married() -> tuple[Demographics, Demographics]:
    """A frequent first name, another family name and telephone at one address: the weights link, and doubt."""
    said = {"first_names": frozenset({"john"}), "middles": frozenset(), "sexes": frozenset()}
    return (
        record(**said, families=frozenset({"smith"}), names=frozenset({("smith", "john")}),
               phones=frozenset({"18595550133"})),
        record(**said, families=frozenset({"borg"}), names=frozenset({("borg", "john")}),
               phones=frozenset({"18595550199"})),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("log_odds", "rule", "grade"),
    [(9.0, Rule.PROBABLE, Grade.PROBABLE), (2.0, Rule.POSSIBLE, Grade.POSSIBLE), (-9.0, None, Grade.CERTAINLY_NOT)],
)
def test_where_the_weights_doubt_its_probability_decides(log_odds: float, rule: Rule | None, grade: Grade) -> None:
    doubted = record(**BARE), record(**BARE)
    assert WEIGHTS(*doubted).grade is Grade.PROBABLE
    found = ByLearned(WEIGHTS, always(log_odds), dismiss=0.1)(*doubted)
    assert (found.rule, found.grade) == (rule, grade)
    assert found.score == pytest.approx(1 / (1 + np.exp(-log_odds)))
    assert any(code.startswith("model:learned-") for code in found.evidence)
    usual = ByLearned(WEIGHTS, always(log_odds))(*doubted)
    assert usual.grade is (Grade.PROBABLE if log_odds > 5 else Grade.POSSIBLE), "by default nobody is left unasked"


def test_what_is_no_more_than_names_and_birth_date_is_never_certain_to_it() -> None:
    eager = ByLearned(WEIGHTS, always(30.0), certain=0.9)
    assert eager(record(**BARE), record(**BARE)).grade is Grade.PROBABLE
    namesakes = record(addresses=frozenset(), middles=frozenset())
    found = eager(namesakes, namesakes)
    assert (found.rule, found.grade) == (Rule.NAME_BIRTH_DATE_SEX, Grade.PROBABLE)


def test_a_link_that_the_rules_make_stays_one() -> None:
    namesakes = record(addresses=frozenset(), middles=frozenset())
    assert ByLearned(WEIGHTS, always(-30.0), dismiss=0.5)(namesakes, namesakes).links


def test_it_is_not_asked_where_nobody_doubts() -> None:
    stranger = record(
        first_names=frozenset({"karl"}), families=frozenset({"borg"}), names=frozenset({("borg", "karl")})
    )
    for other in (record(**MISSPELT), stranger):
        assert ByLearned(WEIGHTS, always(30.0))(record(), other) == WEIGHTS(record(), other)


NAMES = ["signe", "signy", "karen", "eric", "erik", "s", "william", "willie"]
FAMILIES = ["holmgren", "holmgreen", "borg"]
DATES = [date(1967, 12, 13), date(1967, 12, 31), date(1987, 12, 13), date(1967, 3, 13)]


@st.composite
def records(draw: st.DrawFn) -> Demographics:
    """Records that are alike in much, with what vetoes and gates look at."""
    first, family = draw(st.sampled_from(NAMES)), draw(st.sampled_from(FAMILIES))

    def some(*values: object) -> frozenset:
        return frozenset(draw(st.lists(st.sampled_from(values), max_size=1)))

    return record(
        first_names=frozenset({first}), families=frozenset({family}), names=frozenset({(family, first)}),
        birth_dates=some(*DATES), sexes=some("male", "female"), ssns=some("412551234", "412551235", "519440078"),
        generations=some("jr", "sr"), middles=some("marie", "m", "olga"), births=some("multiple", "order-1", "order-2"),
        phones=some("18595550133"), emails=some("signe@mail.example"),
        addresses=some(Address("12", "oak", "", "salem", "ky", "40501")),
    )  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(records(), records(), st.sampled_from([-30.0, 0.0, 3.0, 30.0]), st.floats(0, 1))
def test_no_model_links_what_veto_or_gate_keeps_apart(
    one: Demographics, other: Demographics, odds: float, at: float
) -> None:
    by_weights = WEIGHTS(one, other)
    found = ByLearned(WEIGHTS, always(odds), certain=at, link=at)(one, other)
    barred = bool(by_weights.vetoes or by_weights.gates)
    if barred:
        assert found == by_weights
    if found.links and not by_weights.links:
        assert not list(gate(levels_between(one, other)))
    if by_weights.grade is Grade.CERTAIN or by_weights.rule is Rule.NAME_BIRTH_DATE_SEX:
        assert found.links


# --- settings


def _decided_by(**learned: object) -> ByLearned:
    overrides = {f"mpi.learned.{name}": value for name, value in learned.items()}
    decider, _ = _deciding(load_settings(None, environ={}, overrides=overrides), always(3.0))  # 95 %
    assert isinstance(decider, ByLearned)
    return decider


@pytest.mark.shows("mpi.learned.auto_merge_threshold")
@pytest.mark.shows("mpi.learned.certain_threshold")
def test_from_which_probability_it_links_is_a_setting() -> None:
    usual, namesakes = _decided_by(), record(**BARE)
    assert (usual.certain, usual.link, usual.dismiss) == (1.0, 0.99, 0.0)
    assert usual(namesakes, namesakes).grade is Grade.POSSIBLE
    assert _decided_by(auto_merge_threshold=95)(namesakes, namesakes).grade is Grade.PROBABLE
    assert _decided_by(auto_merge_threshold=90, certain_threshold=90)(*married()).grade is Grade.CERTAIN
    assert _decided_by(auto_merge_threshold=90)(*married()).grade is Grade.PROBABLE
    never, _ = _deciding(load_settings(None, environ={}, overrides={}), always(99.0))
    assert never(*married()).grade is Grade.PROBABLE, "100 is never, however sure it is"


@pytest.mark.shows("mpi.learned.dismiss_threshold")
def test_below_which_probability_nobody_is_asked_is_a_setting() -> None:
    namesakes = record(**BARE)
    overrides = {"mpi.learned.dismiss_threshold": 10}
    decider, _ = _deciding(load_settings(None, environ={}, overrides=overrides), always(-3.0))
    assert not decider(namesakes, namesakes).reasons
    usual, _ = _deciding(load_settings(None, environ={}, overrides={}), always(-3.0))
    assert usual(namesakes, namesakes).reasons


def test_thresholds_that_contradict_each_other_are_refused() -> None:
    wrong = {"mpi.learned.auto_merge_threshold": 99, "mpi.learned.certain_threshold": 95}
    with pytest.raises(ConfigurationError, match="auto_merge_threshold"):
        load_settings(None, environ={}, overrides=wrong)


# --- why


def test_a_waterfall_tells_features_and_codes_and_adds_up(model: LearnedModel) -> None:
    decide = ByLearned(WEIGHTS, model)
    one, other = record(**BARE), record(**BARE, sources=frozenset({"east"}))
    told = decide.explain(one, other)
    vector = Reader(model, WEIGHTS.weights).vector(levels_between(one, other), one, other)
    assert told.model == decide.version == f"{WEIGHTS.version}+{model.version}"
    assert told.total == pytest.approx(model.trees.raw(vector) / log(2), abs=0.2)
    assert {step.about for step in told.steps} <= {feature.about for feature in FEATURES}
    assert not {"signe", "holmgren", "1967-12-13"} & {word for step in told.steps for word in step.level.split()}
    assert (told.review, told.link, told.certain) == (-60.0, 6.6, 60.0)
    beyond_doubt = decide.explain(record(), record(**MISSPELT))
    assert beyond_doubt.steps == WEIGHTS.explain(record(), record(**MISSPELT)).steps
    assert beyond_doubt.model == decide.version


def test_what_a_gate_keeps_apart_is_explained_by_the_model_and_stays_apart(model: LearnedModel) -> None:
    one, other = record(), record(first_names=frozenset({"karen"}), names=frozenset({("holmgren", "karen")}))
    told = ByLearned(WEIGHTS, model).explain(one, other)
    judged: Comparison = told.judged
    assert judged == WEIGHTS(one, other)
    assert not judged.links


def test_examples_carry_references_to_nobody() -> None:
    assert set(Example.__dataclass_fields__) == {"number", "seen", "sources", "is_one"}
