"""Whatever an operator writes, the answer is a report, never a traceback."""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from healthsync.settings.checking import check_documents
from healthsync.settings.documents import DOCUMENTS
from healthsync.settings.reading import keys_of
from healthsync.settings.tree import Settings

NAMES = sorted(
    {name for kind in (Settings, *DOCUMENTS.values()) for name in keys_of(kind)} | {"table", "fields", "name", "roles"}
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(NAMES)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


def report_on(document: str | bytes):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "document.yaml"
        file.write_bytes(document if isinstance(document, bytes) else document.encode("utf-8", "surrogatepass"))
        (report,) = check_documents([file], environ={})
    return report


@pytest.mark.parametrize("top", ["healthsync", "tables", *DOCUMENTS])
@settings(max_examples=40)
@given(value=VALUES)
def test_any_value_under_a_known_key_gets_a_report(top, value):
    report = report_on(json.dumps({top: value}))
    assert report.correct == (report.problems == [])
    assert all(problem.message and "document.yaml" in problem.at for problem in report.problems)


@settings(max_examples=60)
@given(document=st.binary(max_size=60) | st.text(max_size=60))
def test_any_bytes_get_a_report(document):
    report = report_on(document)
    assert report.correct == (report.problems == [])


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ("\x1f", "this is not YAML"),
        ("connectors: " + "[" * 5000, "nested too deeply"),
        ("connectors: &a [*a]", "nested too deeply"),
        ("patient_validation: {birth_date: {min: 2026-13-01}}", "“2026-13-01” is no value; put it in quotes"),
        ("{? [1, 2] : 3}", "no document is known by this key"),
    ],
)
def test_a_hostile_document_is_answered_with_a_sentence(document, sentence):
    (problem,) = report_on(document).problems
    assert sentence in str(problem)


def test_aliases_of_aliases_do_not_grow_without_bounds():
    lines = ["connectors:", "  - config:", "      k0: &a0 x"]
    lines += [f"      k{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    (problem,) = report_on("\n".join(lines)).problems
    assert "its aliases (*name) repeat too much" in problem.message


def _places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from _places(child, (*path, key))


def _replaced(value, path, new):
    if not path:
        return new
    key, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = _replaced(value[key], rest, new)
    return copy


@pytest.mark.shared
@settings(max_examples=60)
@given(data=st.data())
def test_a_document_of_the_requirements_with_one_value_changed_gets_a_report(shared_data, data):
    yaml = pytest.importorskip("yaml")
    file = data.draw(st.sampled_from(sorted((shared_data.parent / "spec" / "config").glob("*.yaml"))))
    document = yaml.safe_load(file.read_text())
    place = data.draw(st.sampled_from(list(_places(document))))
    changed = _replaced(document, place, data.draw(SCALARS))
    report = report_on(json.dumps(changed, default=str))
    assert report.correct == (report.problems == [])
