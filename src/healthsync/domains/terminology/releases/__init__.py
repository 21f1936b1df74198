"""Terminology that others publish and the operator owns, read from the files that they publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from healthsync.domains.terminology.releases import icd, loinc, others, rxnorm, snomed
from healthsync.domains.terminology.releases.files import Files, Progress
from healthsync.domains.terminology.releases.release import PublishedMap, PublishedSystem, Release

__all__ = ["KINDS", "Files", "Progress", "PublishedMap", "PublishedSystem", "Release"]

KINDS: Mapping[str, Callable[[Files, str | None], Release]] = {
    "loinc": loinc.read,
    "icd-10-cm": icd.read_icd_10_cm,
    "icd-9-cm": icd.read_icd_9_cm,
    "gems": icd.read_gems,
    "rxnorm": rxnorm.read,
    "snomed": snomed.read,
    "cpt": others.read_cpt,
    "umls": others.read_umls,
    "vsac": others.read_vsac,
}
"""Reader of each kind of release, by the name that the command line gives it."""
