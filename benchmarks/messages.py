"""The messages that are sent: made up, of the size and shape that hospitals send.

`adt(n)` is an A01 of 1 kB about patient n; `oru(n, patient)` a result of 4 kB with 30 OBX about a patient.
"""

from __future__ import annotations

from collections.abc import Iterator

_FAMILIES = (
    "Abbott", "Brandt", "Castillo", "Dufour", "Eriksen", "Farkas", "Greco", "Hoffmann", "Ivanov", "Jansen",
    "Kowalski", "Lindqvist", "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Sato", "Tanaka",
)  # fmt: skip
_GIVENS = (
    "Ada", "Bruno", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Ines", "Jonas",
    "Karla", "Liam", "Mara", "Nils", "Olga", "Pavel", "Rosa", "Sven", "Tilda", "Viktor",
)  # fmt: skip

# LOINC code, name, unit, reference range, value. %% is a percent sign: the message is a template.
_ANALYTES = (
    ("2951-2", "Sodium", "mmol/L", "136-145", "139"),
    ("2823-3", "Potassium", "mmol/L", "3.5-5.1", "4.20"),
    ("2075-0", "Chloride", "mmol/L", "98-107", "102"),
    ("2028-9", "Carbon dioxide", "mmol/L", "22-29", "25"),
    ("3094-0", "Urea nitrogen", "mg/dL", "6-20", "14"),
    ("2160-0", "Creatinine", "mg/dL", "0.70-1.20", "0.90"),
    ("2345-7", "Glucose", "mg/dL", "70-99", "93"),
    ("17861-6", "Calcium", "mg/dL", "8.6-10.0", "9.4"),
    ("2885-2", "Protein", "g/dL", "6.4-8.3", "7.1"),
    ("1751-7", "Albumin", "g/dL", "3.5-5.2", "4.3"),
    ("1975-2", "Bilirubin", "mg/dL", "0.0-1.2", "0.6"),
    ("6768-6", "Alkaline phosphatase", "U/L", "40-129", "71"),
    ("1742-6", "Alanine aminotransferase", "U/L", "0-41", "22"),
    ("1920-8", "Aspartate aminotransferase", "U/L", "0-40", "19"),
    ("718-7", "Hemoglobin", "g/dL", "13.5-17.5", "15.1"),
    ("4544-3", "Hematocrit", "%%", "41-53", "44.8"),
    ("789-8", "Erythrocytes", "10*6/uL", "4.5-5.9", "5.02"),
    ("6690-2", "Leukocytes", "10*3/uL", "4.5-11.0", "6.8"),
    ("777-3", "Platelets", "10*3/uL", "150-400", "231"),
    ("787-2", "MCV", "fL", "80-100", "89.2"),
    ("785-6", "MCH", "pg", "26-34", "30.1"),
    ("786-4", "MCHC", "g/dL", "31-37", "33.7"),
    ("788-0", "Erythrocyte distribution width", "%%", "11.5-14.5", "12.9"),
    ("32623-1", "Platelet mean volume", "fL", "7.4-10.4", "8.8"),
    ("2093-3", "Cholesterol", "mg/dL", "0-200", "181"),
    ("2085-9", "HDL cholesterol", "mg/dL", "40-60", "52"),
    ("2571-8", "Triglyceride", "mg/dL", "0-150", "104"),
    ("3016-3", "Thyrotropin", "mIU/L", "0.4-4.0", "1.85"),
    ("4548-4", "Hemoglobin A1c", "%%", "4.0-5.6", "5.2"),
    ("1988-5", "C reactive protein", "mg/L", "0-5", "1.1"),
)

_ADT = "\r".join((
    "MSH|^~\\&|ADT1|BENCH|HUB|HIE|20261125083000+0000||ADT^A01^ADT_A01|A%(n)09d|P|2.5.1||||||UNICODE UTF-8",
    "EVN|A01|20261125083000+0000|||4711^Marsh^Helen^^^Dr^^^BENCH&2.16.840.1.113883.19.4&ISO",
    "PID|1||%(patient)08d^^^BENCH&2.16.840.1.113883.19.5&ISO^MR~%(n)09d^^^BENCH^AN||%(family)s^%(given)s^M^^^^L|Moss^Anna"
    "|%(birth)s|%(sex)s||2106-3^White^HL70005|%(patient)d Chestnut Street^Apt 3^Springfield^IL^62704^USA^H||"
    "^PRN^PH^^1^217^%(phone)07d~^NET^Internet^p%(patient)08d@example.org|^WPN^PH^^1^217^5550000|ENG^English^HL70296"
    "|M^Married^HL70002|CHR"
    "|%(n)09d^^^BENCH^AN|||||2186-5^Not Hispanic^HL70189||N|||||N",
    "NK1|1|%(family)s^Robert^J^^^^L|SPO^Spouse^HL70063|%(patient)d Chestnut Street^Apt 3^Springfield^IL^62704^USA^H"
    "|^PRN^PH^^1^217^%(phone)07d||C",
    "PV1|1|I|3WEST^312^A^BENCH^^^^^Three West|E|||4711^Marsh^Helen^^^Dr^^^BENCH^L^^^NPI"
    "|4712^Stone^Peter^^^Dr^^^BENCH^L^^^NPI||MED||||7|||"
    "4711^Marsh^Helen^^^Dr^^^BENCH^L^^^NPI|IP|V%(n)09d^^^BENCH^VN|||||||||||||||||||||||||20261125081500+0000",
    "PV2|||R07.9^Chest pain^I10||||||20261130||||Observation after transfer|||||||N|N",
    "",
))  # fmt: skip

_ORU_HEAD = (
    "MSH|^~\\&|LAB1|BENCH|HUB|HIE|20261125093000+0000||ORU^R01^ORU_R01|R%(n)09d|P|2.5.1||||||UNICODE UTF-8\r"
    "PID|1||%(patient)08d^^^BENCH&2.16.840.1.113883.19.5&ISO^MR||%(family)s^%(given)s^M^^^^L||%(birth)s|%(sex)s\r"
    "ORC|RE|P%(n)09d^EHR|F%(n)09d^LAB||CM||||20261125082000+0000|||4711^Marsh^Helen^^^Dr^^^BENCH^L^^^NPI\r"
    "OBR|1|P%(n)09d^EHR|F%(n)09d^LAB|24323-8^Comprehensive panel^LN|||20261125084500+0000|||||||||"
    "4711^Marsh^Helen^^^Dr^^^BENCH^L^^^NPI||||||20261125092500+0000||LAB|F\r"
)
_ORU = (
    _ORU_HEAD
    + "".join(
        f"OBX|{place}|NM|{code}^{name}^LN||{value}|{unit}^{unit}^UCUM|{usual}|N|||F|||20261125084500+0000||||AU5800^BENCH|20261125091500+0000\r"
        for place, (code, name, unit, usual, value) in enumerate(_ANALYTES, 1)
    )
).encode()
_ADT_BYTES = _ADT.encode()


def adt(n: int, patient: int | None = None) -> bytes:
    """An admission; a new patient unless one is named."""
    return _ADT_BYTES % _values(n, n if patient is None else patient)


def oru(n: int, patient: int) -> bytes:
    """A laboratory result with 30 observations."""
    return _ORU % _values(n, patient)


def adts(first: int, count: int) -> Iterator[bytes]:
    """Admissions of new patients."""
    return (adt(n) for n in range(first, first + count))


def orus(first: int, count: int, patients: range) -> Iterator[bytes]:
    """Results, spread over patients that are known."""
    return (oru(n, patients[n % len(patients)]) for n in range(first, first + count))


def family(patient: int) -> str:
    """The surname of a patient."""
    return _FAMILIES[patient % len(_FAMILIES)] + _syllables(patient)


def birth_date(patient: int) -> str:
    """The birth date of a patient, YYYYMMDD."""
    return f"{1930 + patient % 90:04}{1 + patient // 7 % 12:02}{1 + patient // 3 % 28:02}"


def _values(n: int, patient: int) -> dict[bytes, int | bytes]:
    return {
        b"n": n,
        b"patient": patient,
        b"family": family(patient).encode(),
        b"given": _GIVENS[patient // 20 % len(_GIVENS)].encode(),
        b"birth": birth_date(patient).encode(),
        b"sex": b"MF"[patient % 2 : patient % 2 + 1],
        b"phone": patient * 37 % 10_000_000,
    }


def _syllables(number: int) -> str:
    """Endings that make surnames as many as a population has."""
    return "".join("aeiou"[number // 5**place % 5] + "lmnrst"[number // 6**place % 6] for place in (2, 3))
