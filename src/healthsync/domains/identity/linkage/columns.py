"""Which column of a file says what: by the usual spellings, or as the caller maps it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from healthsync.errors import InvalidInput

FIELDS = (
    "id", "given", "middle", "family", "family_second", "full_name", "suffix", "birth_date", "sex", "ssn", "insurance",
    "house_number", "street", "address_line", "city", "state", "postal_code", "phone", "email", "mother_family",
    "guardian_given", "guardian_family", "multiple_birth", "birth_order",
)  # fmt: skip
"""What a column may say, besides `extra:NAME` (further evidence) and `truth` (who it really is: never evidence)."""

_SPELLINGS = {
    "id": "id recid recordid uniqueid rowid uid key patientid patientkey personid mrn sourceid memberid",
    "given": "given givenname givennames firstname fname first namefirst forename forenames christianname",
    "middle": "middle middlename middlenames mname namemiddle middleinitial mi secondname",
    "family": "family familyname surname lastname lname last namelast sname",
    "family_second": "familysecond secondsurname secondlastname surname2 lastname2 namelasthyph maternalsurname",
    "full_name": "fullname name patientname personname displayname",
    "suffix": "suffix namesuffix generation generationalsuffix gensuffix",
    "birth_date": "birthdate dateofbirth dob birthday bdate born birthdt datebirth",
    "sex": "sex gender administrativesex administrativegender sexcode gendercode",
    "ssn": "ssn socsecid socialsecuritynumber socialsecurity socsec ssnumber nationalid nationalnumber nin nhsnumber",
    "insurance": "insurance insuranceid insurancenumber medicaid medicaidid medicaidnumber mbi subscriberid",
    "house_number": "housenumber streetnumber streetno houseno buildingnumber",
    "street": "street address address1 addressline1 addressstreet1 streetaddress addr addr1 line1 streetname",
    "address_line": "address2 addressline2 addressstreet2 addr2 line2",
    "city": "city town suburb addresscity municipality locality",
    "state": "state addressstate province stateprovince statecode region county",
    "postal_code": "postalcode postcode postcodefake zip zipcode addresszip zip5 postal",
    "phone": "phone phonenumber telephone tel mobile cell cellphone mobilephone homephone telephonenumber",
    "email": "email emailaddress mail",
    "mother_family": "motherfamily mothermaidenname mothersmaidenname motherslastname mothersurname",
    "guardian_given": "guardiangiven guardiannamefirst guardianfirstname guardianfname",
    "guardian_family": "guardianfamily guardiannamelast guardianlastname guardianlname guardiansurname",
    "multiple_birth": "multiplebirth multiplebirthindicator birthstatus twin",
    "birth_order": "birthorder multiplebirthorder",
}  # fmt: skip
_TRUTH = frozenset(
    "truth cluster clusterid trueid truthid entity entityid group groupid label truecluster trueperson goldid".split()  # noqa: SIM905
)
_BY_SPELLING = {spelling: field for field, spellings in _SPELLINGS.items() for spelling in spellings.split()}


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the columns of one file say.

    `fields` leads from a field to its column, `extras` from a name to the column of further evidence. `automatic` are
    the extras that nobody named: they count only if they turn out to be evidence.
    """

    fields: Mapping[str, str]
    extras: Mapping[str, str]
    automatic: frozenset[str]
    truth: str | None


def meaning_of(names: Sequence[str], mapped: Mapping[str, str]) -> Meaning:
    """What columns of these `names` say, `mapped` (field, `extra:NAME` or `truth` → column) before usual spellings.

    Raises InvalidInput for a field that does not exist, a column that the file lacks, and a file that says nothing of
    a person.
    """
    fields: dict[str, str] = {}
    extras: dict[str, str] = {}
    truth = mapped.get("truth")
    for field, column in mapped.items():
        if column not in names:
            raise InvalidInput(f"--map names a column '{column}'; the columns are: {', '.join(names)}")
        if field.startswith("extra:"):
            extras[field.removeprefix("extra:")] = column
        elif field in FIELDS:
            fields[field] = column
        elif field != "truth":
            raise InvalidInput(f"--map names a field '{field}'; the fields are: {', '.join(FIELDS)}, extra:NAME, truth")
    taken = {*fields.values(), *extras.values(), truth}
    for name in names:
        field = _BY_SPELLING.get(_squeezed(name))
        if name not in taken and field and field not in fields:
            fields[field] = name
            taken.add(name)
    free = [name for name in names if name not in taken]
    truth = truth or next((name for name in free if _tells_the_truth(name)), None)
    automatic = [name for name in free if not _tells_the_truth(name)]
    if not set(fields) - {"id"} and not extras:
        raise InvalidInput(
            f"no column says anything of a person; the columns are: {', '.join(names)}. "
            "Say which is which: --map given=COLUMN,family=COLUMN,birth_date=COLUMN"
        )
    return Meaning(fields, extras | {name: name for name in automatic}, frozenset(automatic), truth)


def parse_map(text: str) -> dict[str, str]:
    """{"given": "first_name", …} of `given=first_name,…`. Raises InvalidInput with what is wrong."""
    mapped: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        field, equals, column = part.partition("=")
        if not equals or not field.strip() or not column.strip():
            raise InvalidInput(f"--map wants FIELD=COLUMN,…; '{part}' is none")
        if field.strip() in mapped:
            raise InvalidInput(f"--map names the field '{field.strip()}' twice")
        mapped[field.strip()] = column.strip()
    return mapped


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]", "", name.casefold())


def _tells_the_truth(name: str) -> bool:
    return _squeezed(name) in _TRUTH or name.casefold().startswith("truth")
