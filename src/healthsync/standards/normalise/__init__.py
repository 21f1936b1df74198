"""What people write in a hundred ways, in one: dates, names, telephone numbers, addresses, codes for sex.

    normalise_date("15-Jan-2024").value                            "2024-01-15"
    normalise_date("01/02/2024").problem                           "ambiguous-date": which is the month?
    normalise_date("01/02/2024", order=DateOrder.DAY_FIRST).value  "2024-02-01"
    parse_name("SMITH, JOHN A, MD").value                          PersonName("Smith", ("John", "A"), suffix=("MD",))
    normalise_phone("(202) 555-0143 x12").value                    Phone("+12025550143", "12")

Every function answers a `Normalised`: what was written, the value, and in codes what was changed or why there is no
value. Nothing is guessed silently, and no code carries a value. All of it is pure: "today" is an argument.
"""

from healthsync.standards.normalise.addresses import PostalAddress, normalise_address
from healthsync.standards.normalise.contacts import Phone, normalise_email, normalise_phone
from healthsync.standards.normalise.conventions import AS_SENT, Conventions
from healthsync.standards.normalise.dates import DateOrder, normalise_birth_date, normalise_date, normalise_date_time
from healthsync.standards.normalise.names import GENERATIONS, PersonName, parse_name, title_case
from healthsync.standards.normalise.outcome import Normalised
from healthsync.standards.normalise.resources import normalised_resource
from healthsync.standards.normalise.sexes import administrative_gender

__all__ = [
    "AS_SENT",
    "GENERATIONS",
    "Conventions",
    "DateOrder",
    "Normalised",
    "PersonName",
    "Phone",
    "PostalAddress",
    "administrative_gender",
    "normalise_address",
    "normalise_birth_date",
    "normalise_date",
    "normalise_date_time",
    "normalise_email",
    "normalise_phone",
    "normalised_resource",
    "parse_name",
    "title_case",
]
