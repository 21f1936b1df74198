"""The families of messages: which reading takes which message."""

from __future__ import annotations

from healthsync.standards.maps.families.admissions import Admissions
from healthsync.standards.maps.families.documents import Documents
from healthsync.standards.maps.families.finance import Billing, Charges
from healthsync.standards.maps.families.masterfiles import MasterFiles
from healthsync.standards.maps.families.orders import Orders
from healthsync.standards.maps.families.pharmacy import Pharmacy
from healthsync.standards.maps.families.problems import Problems
from healthsync.standards.maps.families.referrals import Referrals
from healthsync.standards.maps.families.results import Results
from healthsync.standards.maps.families.scheduling import Scheduling
from healthsync.standards.maps.families.vaccines import Vaccines
from healthsync.standards.maps.reading import Reading

FAMILIES: tuple[type[Reading], ...] = (
    Admissions,
    Results,
    Orders,
    Documents,
    Pharmacy,
    Vaccines,
    Scheduling,
    Charges,
    Billing,
    Problems,
    Referrals,
    MasterFiles,
)

USUAL_TRIGGERS = {"ORU": "R01", "ORM": "O01", "VXU": "V04", "DFT": "P03"}
"""What a message means whose MSH-9 names no trigger event, as versions before 2.3 allow."""


def family_of(code: str, trigger: str) -> type[Reading] | None:
    """The reading of messages of this type, if there is one."""
    return next((family for family in FAMILIES if family.takes(code, trigger)), None)
