"""A plain patient record, as programs around an EHR keep it, to FHIR R4 and HL7 v2 and back.

    to_fhir_patient({"firstName": "John", …})     the record as a FHIR Patient
    from_fhir_patient(patient)                    a FHIR Patient as the record
    create_eye_exam_observation(id, exam)         an Observation about an eye
    create_fhir_bundle(resources, "transaction")  resources in a Bundle
    create_hl7_adt(patient, "A04", …)             an ADT about the record
    extract_patient_from_hl7(message)             the record that a message's PID tells
    describe_hl7(message)                         a whole message as JSON

The names of the record's fields are those of the requirements ("Healthcare Interoperability"): `id`, `mrn`,
`firstName`, `middleName`, `lastName`, `dateOfBirth`, `gender`, `email`, `phone`, `address`. What else stands in a
record is passed over, so that rows of a database can be given as they are. Pure: values in, values out.
"""

from .bundles import create_fhir_bundle
from .eye_exams import create_eye_exam_observation
from .messages import create_hl7_adt, describe_hl7, extract_patient_from_hl7
from .patients import from_fhir_patient, to_fhir_patient

__all__ = [
    "create_eye_exam_observation",
    "create_fhir_bundle",
    "create_hl7_adt",
    "describe_hl7",
    "extract_patient_from_hl7",
    "from_fhir_patient",
    "to_fhir_patient",
]
