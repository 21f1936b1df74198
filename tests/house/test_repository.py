import ast
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "healthsync"


def tool(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def modules(*parts: str) -> list[Path]:
    return sorted(path for part in parts for path in (SOURCE / part).rglob("*.py"))


def test_the_lock_agrees_with_the_project_and_carries_hashes_and_no_address():
    assert tool("check_lock").main() == 0


@pytest.mark.parametrize(
    ("lock", "sentence"),
    [
        ("click==8.3.0 \\\n    --hash=sha256:00\n", None),
        ("click==8.2.0 \\\n    --hash=sha256:00\n", "is not met by the lock (8.2.0); run: make lock"),
        ("rich==15.0.0 \\\n    --hash=sha256:00\n", "is not met by the lock (absent)"),
        ("click==8.3.0\n", "click has no hash"),
        ("--index-url x\nclick==8.3.0 \\\n    --hash=sha256:00\n", "line 1: an address stands in the lock"),
    ],
)
def test_a_lock_that_disagrees_is_told_apart(lock, sentence):
    found = tool("check_lock").problems(lock, [Requirement("click>=8.3")])
    assert (sentence is None) == (not found)
    assert sentence is None or any(sentence in one for one in found)


def test_no_file_names_a_registry_a_machine_or_a_key():
    assert tool("check_repository").main() == 0


@pytest.mark.parametrize(
    "line",
    ["see https://" + "pypi" + ".org/x", "open('/" + "work/x')", "cd /" + "root/x", "-----BEGIN " + "PRIVATE KEY-----"],
)
def test_what_must_not_stand_in_the_repository_is_found(line):
    assert len(tool("check_repository").problems(Path("x"), f"fine\n{line}\n")) == 1


@pytest.mark.parametrize("line", ["https://example.org/job/x", "a network/", "src/job/x", "/var/lib/healthsync"])
def test_what_only_resembles_it_is_not(line):
    assert tool("check_repository").problems(Path("x"), line) == []


def test_only_a_store_and_the_machinery_run_sql():
    """Named queries are loaded, and a connection's statements called, only in `store.py` of a domain and in infrastructure."""
    statements = {"fetch", "fetchrow", "fetchval", "execute", "executemany"}
    found = []
    for path in modules("domains", "exchange", "entrypoints"):
        if path.name == "store.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in statements:
                owner = ast.unparse(node.func.value)
                if owner.rpartition(".")[2] in {"tx", "connection", "database"}:
                    found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {owner}.{node.func.attr}")
            if isinstance(node, ast.ImportFrom) and any(alias.name == "Queries" for alias in node.names):
                found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: imports Queries")
    assert found == []


def test_every_module_says_what_it_is_for():
    assert [str(path.relative_to(SOURCE)) for path in modules(".") if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))] == []  # fmt: skip


def test_no_module_has_a_name_that_says_nothing():
    nothing = {"utils", "util", "common", "helpers", "helper", "core", "base", "manager", "misc"}
    assert [str(path) for path in modules(".") if nothing & {path.stem, *path.relative_to(SOURCE).parts[:-1]}] == []


def test_pyproject_offers_the_command_and_the_python_it_promises():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert project["license"] == "Apache-2.0"
    assert project["scripts"]["healthsync"] == "healthsync.entrypoints.cli:main"


def test_make_offers_what_the_readme_promises():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"setup", "demo", "serve", "test", "check", "docs", "bench", "lock"} <= targets
    promised = set(
        re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text())
    )
    assert promised <= targets


def test_the_architecture_contracts_name_modules_that_exist():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    named = {
        name
        for contract in contracts
        for key in ("source_modules", "modules", "protected_modules", "allowed_importers", "containers")
        for name in contract.get(key, [])
    }
    missing = [name for name in named if "*" not in name and not _exists(name)]
    assert missing == []


def _exists(name: str) -> bool:
    path = ROOT / "src" / Path(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def nav_files(entries) -> list[str]:
    return [
        file
        for entry in entries
        for value in ([entry] if isinstance(entry, str) else entry.values())
        for file in ([value] if isinstance(value, str) else nav_files(value))
    ]


def test_every_page_stands_in_the_navigation_and_every_entry_has_its_page():
    configuration = yaml.safe_load((ROOT / "mkdocs.yml").read_text().replace("!!python/name:", ""))
    named = set(nav_files(configuration["nav"]))
    present = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert named - present == set(), "in mkdocs.yml, but no file"
    assert present - named == set(), "a file, but not in mkdocs.yml"


def test_decision_records_are_numbered_without_gaps_and_have_their_three_parts():
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    assert [int(path.name[:4]) for path in records] == list(range(1, len(records) + 1))
    for path in records:
        assert re.findall(r"^## (\w+)", path.read_text(), re.MULTILINE) == ["Context", "Decision", "Consequences"], (
            path.name
        )


def test_every_setting_in_effect_is_shown_by_a_test():
    from healthsync.settings.reading import walk
    from healthsync.settings.tree import Settings

    reference = tool("docs_reference")
    shown = reference.shown_by()
    keys = {key: (hint, entry) for key, hint, entry in walk(Settings)}
    unshown = [
        key
        for key, (hint, entry) in keys.items()
        if not entry.metadata["later"] and not reference.is_block(entry, hint) and key not in shown
    ]
    assert unshown == []
    assert sorted(set(shown) - set(keys)) == [], "a test shows a setting that does not exist"


def test_every_setting_in_effect_is_read_by_the_hub():
    """A key that nothing reads is not in effect: wire it, or say `later=` in its definition."""
    from healthsync.settings.loading import SWITCHES
    from healthsync.settings.reading import walk
    from healthsync.settings.tree import Settings

    is_block = tool("docs_reference").is_block
    read = {
        node.attr
        for path in modules(".")
        if "settings" not in path.relative_to(SOURCE).parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
    }
    by_settings = {*SWITCHES, "fhir.version", "compliance.hipaa.encryption.algorithm"}  # one value, checked at load
    by_settings |= {"compliance.hipaa.encryption.key_provider"}  # require_startable
    by_settings |= {"worker.processes", "bulk_data.import_processes"}  # process_count
    unread = [
        key
        for key, hint, entry in walk(Settings)
        if not (entry.metadata["later"] or is_block(entry, hint) or key in by_settings or entry.name in read)
    ]
    assert unread == []
