"""Profiles: what an implementation guide demands beyond FHIR R4 (profiling.html).

    package = read(data)                                 a FHIR package (.tgz)
    profiles = Profiles(Library.of(package.resources))
    profiles.check(patient, "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient")

`packages` reads, `library` finds by canonical URL, `rules` compiles a StructureDefinition, `checking` and `slicing`
hold a resource to it, `valuesets` knows codes. mustSupport says what a system must be able to do and is nothing that a
resource could break.
"""

from healthsync.standards.fhir.profiles.checking import Profiles, declared
from healthsync.standards.fhir.profiles.library import Library
from healthsync.standards.fhir.profiles.packages import Package, compact, is_kept, is_modifier, read

__all__ = ["Library", "Package", "Profiles", "compact", "declared", "is_kept", "is_modifier", "read"]
