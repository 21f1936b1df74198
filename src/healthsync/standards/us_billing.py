"""Codes of billing in the United States: national provider identifiers, provider taxonomy, places of service."""

from __future__ import annotations

import re

NPI = "http://hl7.org/fhir/sid/us-npi"
TAXONOMY = "http://nucc.org/provider-taxonomy"
PLACE_OF_SERVICE = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"

PLACES_OF_SERVICE = {
    "01": "Pharmacy", "02": "Telehealth Provided Other than in Patient's Home", "03": "School",
    "04": "Homeless Shelter",
    "05": "Indian Health Service Free-standing Facility", "06": "Indian Health Service Provider-based Facility",
    "07": "Tribal 638 Free-standing Facility", "08": "Tribal 638 Provider-based Facility",
    "09": "Prison/Correctional Facility", "10": "Telehealth Provided in Patient's Home", "11": "Office", "12": "Home",
    "13": "Assisted Living Facility", "14": "Group Home", "15": "Mobile Unit", "16": "Temporary Lodging",
    "17": "Walk-in Retail Health Clinic", "18": "Place of Employment-Worksite",
    "19": "Off Campus-Outpatient Hospital", "20": "Urgent Care Facility", "21": "Inpatient Hospital",
    "22": "On Campus-Outpatient Hospital", "23": "Emergency Room - Hospital", "24": "Ambulatory Surgical Center",
    "25": "Birthing Center", "26": "Military Treatment Facility", "27": "Outreach Site/Street",
    "31": "Skilled Nursing Facility", "32": "Nursing Facility", "33": "Custodial Care Facility", "34": "Hospice",
    "41": "Ambulance - Land", "42": "Ambulance - Air or Water", "49": "Independent Clinic",
    "50": "Federally Qualified Health Center", "51": "Inpatient Psychiatric Facility",
    "52": "Psychiatric Facility-Partial Hospitalization", "53": "Community Mental Health Center",
    "54": "Intermediate Care Facility/Individuals with Intellectual Disabilities",
    "55": "Residential Substance Abuse Treatment Facility", "56": "Psychiatric Residential Treatment Center",
    "57": "Non-residential Substance Abuse Treatment Facility", "58": "Non-residential Opioid Treatment Facility",
    "60": "Mass Immunization Center", "61": "Comprehensive Inpatient Rehabilitation Facility",
    "62": "Comprehensive Outpatient Rehabilitation Facility", "65": "End-Stage Renal Disease Treatment Facility",
    "66": "Programs of All-Inclusive Care for the Elderly (PACE) Center", "71": "Public Health Clinic",
    "72": "Rural Health Clinic", "81": "Independent Laboratory", "99": "Other Place of Service",
}  # fmt: skip
"""CMS place of service codes, as of 2024."""


def is_npi(text: str) -> bool:
    """Ten digits whose last is right (45 CFR 162.406: ISO/IEC 7812 behind the prefix 80840)."""
    if not re.fullmatch(r"[12][0-9]{9}", text):
        return False
    digits = [int(digit) for digit in f"80840{text}"]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(digits[-1::-2])) % 10 == 0


def is_taxonomy(text: str) -> bool:
    """Whether a text has the form of a NUCC provider taxonomy code, such as 207R00000X."""
    return re.fullmatch(r"[0-9A-Z]{9}X", text) is not None
