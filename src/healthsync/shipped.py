"""Documents that ship beside the code that reads them."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C, where PyYAML has it, is ten times as fast: the hub reads a dozen documents at its start."""


def shipped_yaml(package: str, path: str) -> Any:
    """The YAML document at `path` under a package, parsed anew each time: whoever asks keeps what it makes of it."""
    return yaml.load(files(package).joinpath(path).read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - both are safe
