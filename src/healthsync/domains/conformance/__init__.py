"""Which implementation guides does this hub know, and what do their profiles demand?

FHIR packages are kept as they came and as the validator reads them. The compiled profiles are shared by everyone and
follow every change of the packages within a second, in this process and in all others.

Invariants: a package is loaded whole or not at all; what it holds is never trusted beyond being data; of several
versions of a canonical URL the newest is meant when none is named.
"""

from healthsync.domains.conformance.model import LoadedPackage
from healthsync.domains.conformance.service import ConformanceService

__all__ = ["ConformanceService", "LoadedPackage"]
