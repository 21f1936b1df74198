"""requirements.lock agrees with pyproject.toml, carries hashes, and no address.

python tools/check_lock.py
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)")
ADDRESS = re.compile(r"(?:https?|file|git)(?:\+\w+)?://|--(?:extra-)?index-url|--find-links")


def wanted() -> list[Requirement]:
    """Every requirement that pyproject.toml names itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project.get("dependency-groups", {}).values()
    return [Requirement(text) for texts in (project["project"]["dependencies"], *groups) for text in texts]


def problems(lock: str, requirements: list[Requirement]) -> list[str]:
    """What is wrong with the text of a lock, a sentence each."""
    found = [
        f"line {at}: an address stands in the lock"
        for at, line in enumerate(lock.splitlines(), 1)
        if ADDRESS.search(line)
    ]
    pins: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=\S)", lock):
        if pin := PIN.match(entry):
            pins.setdefault(canonicalize_name(pin[1]), []).append(pin[2])
            if "--hash=sha256:" not in entry:
                found.append(f"{pin[1]} has no hash")
    for requirement in requirements:
        versions = pins.get(canonicalize_name(requirement.name), [])
        if not any(requirement.specifier.contains(version, prereleases=True) for version in versions):
            found.append(f"{requirement} is not met by the lock ({', '.join(versions) or 'absent'}); run: make lock")
    return found


def main() -> int:
    """Print what is wrong; 0 when nothing is."""
    found = problems((ROOT / "requirements.lock").read_text(encoding="utf-8"), wanted())
    for sentence in found:
        print(f"requirements.lock: {sentence}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
