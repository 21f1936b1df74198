"""The other configuration documents: their schema, and in plain words what each was understood to say.

A document is recognised by its top-level key. Names of tables and columns are resolved through the dictionary of
logical tables. Nothing here contacts anyone or changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping

from healthsync.settings.documents.access_control import AccessControlDocument
from healthsync.settings.documents.authorities import AuthoritiesDocument
from healthsync.settings.documents.clinical_rules import ClinicalRulesDocument
from healthsync.settings.documents.connectors import ConnectorsDocument
from healthsync.settings.documents.deidentification import DeidentificationDocument
from healthsync.settings.documents.device_integration import DeviceIntegrationDocument
from healthsync.settings.documents.enrichment import EnrichmentDocument
from healthsync.settings.documents.fhir_mapping import FhirMappingDocument
from healthsync.settings.documents.hl7_processing import Hl7ProcessingDocument
from healthsync.settings.documents.names import Document, Names
from healthsync.settings.documents.patient_matching import PatientMatchingDocument
from healthsync.settings.documents.phi_detection import PhiDetectionDocument
from healthsync.settings.documents.validation_rules import ValidationRulesDocument

DOCUMENTS: Mapping[str, type[Document]] = {
    "access_control": AccessControlDocument,
    "assigning_authorities": AuthoritiesDocument,
    "clinical_rules": ClinicalRulesDocument,
    "connectors": ConnectorsDocument,
    "deidentification": DeidentificationDocument,
    "device_integration": DeviceIntegrationDocument,
    "enrichment": EnrichmentDocument,
    "fhir_mapping": FhirMappingDocument,
    "hl7_processing": Hl7ProcessingDocument,
    "patient_matching": PatientMatchingDocument,
    "phi_detection": PhiDetectionDocument,
    "patient_validation": ValidationRulesDocument,
    "observation_validation": ValidationRulesDocument,
}
"""Each top-level key and the document it belongs to."""

__all__ = ["DOCUMENTS", "Document", "Names"]
