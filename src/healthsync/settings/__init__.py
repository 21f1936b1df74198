"""Settings: `healthsync.yaml`, the environment and the command line as one frozen, validated tree, read once.

    settings = load_settings(Path("/srv/hub"))          # or the file itself
    settings.http.port, settings.mllp.tls.certificate, settings.hub.name, settings.consent.policy …

Paths in the tree are absolute. Every key is described in `tree.py`, from which `docs/reference/settings.md` is printed.
"""

from healthsync.settings.loading import (
    FILE_NAME,
    LoadedSettings,
    environment_with,
    load_settings,
    read_settings,
    require_startable,
    warnings_of,
)
from healthsync.settings.reading import InvalidSettings, Problem
from healthsync.settings.tree import AckMode, ConsentPolicy, Settings

__all__ = [
    "FILE_NAME",
    "AckMode",
    "ConsentPolicy",
    "InvalidSettings",
    "LoadedSettings",
    "Problem",
    "Settings",
    "environment_with",
    "load_settings",
    "read_settings",
    "require_startable",
    "warnings_of",
]
