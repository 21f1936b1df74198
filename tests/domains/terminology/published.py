"""Tiny made-up releases in the formats in which terminologies are published: invented codes and texts, real columns."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LOINC = {
    "Loinc_9.99/LoincTable/Loinc.csv": (
        '"LOINC_NUM","COMPONENT","PROPERTY","TIME_ASPCT","SYSTEM","SCALE_TYP","METHOD_TYP","CLASS","STATUS","SHORTNAME",'
        '"LONG_COMMON_NAME","DisplayName","DefinitionDescription"\r\n'
        '"90001-1","Unobtainium","MCnc","Pt","Ser","Qn","","CHEM","ACTIVE","Unobt SerPl","Unobtainium, ""pure""\nin Serum",'
        '"Unobtainium","What nobody has."\r\n'
        '"90002-9","Unobtainium","MCnc","Pt","Ser","Qn","","CHEM","DEPRECATED","","Unobtainium (old)","",""\r\n'
    ),
    "Loinc_9.99/LoincTable/MapTo.csv": '"LOINC","MAP_TO","COMMENT"\n"90002-9","90001-1",""\n',
    "Loinc_9.99/AccessoryFiles/PartFile/Part.csv": (
        '"PartNumber","PartTypeName","PartName","PartDisplayName","Status"\n'
        '"LP90001-0","COMPONENT","Unobtainium","Unobtainium","ACTIVE"\n'
    ),
    "Loinc_9.99/AccessoryFiles/ComponentHierarchyBySystem/ComponentHierarchyBySystem.csv": (
        '"PATH_TO_ROOT","SEQUENCE","IMMEDIATE_PARENT","CODE","CODE_TEXT"\n"","1","","LP90001-0","Unobtainium"\n'
        '"LP90001-0","1","LP90001-0","90001-1","Unobtainium"\n"LP90001-0","2","LP90001-0","90001-1","Unobtainium"\n'
    ),
    "Loinc_9.99/AccessoryFiles/LinguisticVariants/deDE15LinguisticVariant.csv": (
        '"LOINC_NUM","LONG_COMMON_NAME","LinguisticVariantDisplayName"\n"90001-1","Unobtainium im Serum",""\n'
    ),
}

ORDER = {
    "icd10cm_order_2099.txt": "".join(
        f"{number:05} {code:<7} {valid} {short:<60} {long}\r\n"
        for number, (code, valid, short, long) in enumerate(
            [
                ("Z99", 0, "Odd conditions", "Odd conditions"),
                ("Z991", 0, "Oddness of hand", "Oddness of the hand"),
                ("Z9911", 1, "Oddness of right hand", "Oddness of the right hand"),
            ],
            1,
        )
    )
}

TABULAR = {
    "icd10cm_tabular_2099.xml": """<?xml version="1.0" encoding="utf-8"?>
<ICD10CM.tabular><version>2099</version>
<chapter><name>22</name><desc>Oddities (Z99-Z99)</desc>
 <section id="Z98-Z99"><desc>Odd things (Z98-Z99)</desc>
  <diag><name>Z99</name><desc>Odd conditions</desc>
   <sevenChrDef><extension char="A">initial encounter</extension><extension char="S">sequela</extension></sevenChrDef>
   <diag><name>Z99.1</name><desc>Oddness of the hand</desc></diag>
  </diag>
 </section>
</chapter></ICD10CM.tabular>"""
}

ICD_9 = {
    "CMS32_DESC_LONG_DX.txt": "25000 Diabetes of a kind\r\nE8120 Accident of a kind\r\nV1000 History of a kind\r\n"
}

GEMS = {
    "2099_I9gem.txt": (
        "25000 E119    10000\r\n0010  A000    00000\r\n24951 E0810   10111\r\n24951 E0865   10112\r\n"
        "V9999 NoDx    11000\r\n"
    ),
    "2099_I10gem.txt": "E119    25000 10000\n",
}


def rrf(*cells: str) -> str:
    """A row with a pipe after each column."""
    return "".join(f"{cell}|" for cell in cells) + "\n"


def atom(rxcui: str, sab: str, tty: str, code: str, text: str, suppress: str = "N") -> str:
    """A row of RXNCONSO or MRCONSO."""
    return rrf(rxcui, "ENG", "P", "", "PF", "", "Y", "", "", "", "", sab, tty, code, text, "", suppress, "")


RXNORM = {
    "RxNorm_full_01019999/rrf/RXNCONSO.RRF": (
        atom("900", "RXNORM", "SY", "900", "Unobtainol tabs")
        + atom("900", "RXNORM", "SCD", "900", "unobtainol 10 MG Oral Tablet")
        + atom("901", "RXNORM", "IN", "901", "unobtainol")
        + atom("901", "ATC", "RXN_IN", "Z99AA01", "unobtainol")
        + atom("902", "RXNORM", "IN", "902", "gonol", "O")
    ),
    "RxNorm_full_01019999/rrf/RXNREL.RRF": (
        rrf("901", "", "CUI", "RN", "900", "", "CUI", "isa", "", "", "RXNORM", "RXNORM", "", "", "", "")
        + rrf("901", "", "CUI", "RO", "900", "", "CUI", "ingredient_of", "", "", "RXNORM", "RXNORM", "", "", "", "")
    ),
    "RxNorm_full_01019999/rrf/RXNSAT.RRF": rrf(
        "900", "", "", "", "CUI", "900", "", "", "NDC", "RXNORM", "99999000001", "N", ""
    ),
}

INT, US_ENGLISH, IS_A = "900000000000207008", "900000000000509007", "116680003"
FSN, SYNONYM, PREFERRED = "900000000000003001", "900000000000013009", "900000000000548007"


def rf2(head: str, *rows: tuple[object, ...]) -> str:
    """A table of RF2."""
    return "\r\n".join([head.replace(" ", "\t"), *("\t".join(map(str, row)) for row in rows)]) + "\r\n"


def snomed(date: str = "20990101", texts: Mapping[int, str] | None = None) -> dict[str, str]:
    """138875005 over 1001001 over 1002002; 1003003 is inactive."""
    texts = texts or {1001001: "Oddity", 1002002: "Odd hand"}
    at = "SnomedCT_InternationalRF2_PRODUCTION/Snapshot"
    return {
        f"{at}/Terminology/sct2_Concept_Snapshot_INT_{date}.txt": rf2(
            "id effectiveTime active moduleId definitionStatusId",
            *((c, date, int(c != 1003003), INT, "900000000000074008") for c in (138875005, 1001001, 1002002, 1003003)),
        ),
        f"{at}/Terminology/sct2_Description_Snapshot-en_INT_{date}.txt": rf2(
            "id effectiveTime active moduleId conceptId languageCode typeId term caseSignificanceId",
            (9, date, 1, INT, 138875005, "en", FSN, "SNOMED CT Concept", INT),
            *((10 * c, date, 1, INT, c, "en", FSN, f"{text} (finding)", INT) for c, text in texts.items()),
            *((10 * c + 1, date, 1, INT, c, "en", SYNONYM, text, INT) for c, text in texts.items()),
            (99, date, 1, INT, 1002002, "en", SYNONYM, 'A "strange" hand', INT),
            (98, date, 0, INT, 1002002, "en", SYNONYM, "Withdrawn term", INT),
        ),
        f"{at}/Terminology/sct2_Relationship_Snapshot_INT_{date}.txt": rf2(
            "id effectiveTime active moduleId sourceId destinationId relationshipGroup typeId characteristicTypeId modifierId",
            (1, date, 1, INT, 1001001, 138875005, 0, IS_A, INT, INT),
            (2, date, 1, INT, 1002002, 1001001, 0, IS_A, INT, INT),
            (3, date, 0, INT, 1003003, 1001001, 0, IS_A, INT, INT),
            (4, date, 1, INT, 1002002, 1003003, 0, 363698007, INT, INT),
        ),
        f"{at}/Refset/Language/der2_cRefset_LanguageSnapshot-en_INT_{date}.txt": rf2(
            "id effectiveTime active moduleId refsetId referencedComponentId acceptabilityId",
            *((f"u{c}", date, 1, INT, US_ENGLISH, 10 * c + 1, PREFERRED) for c in texts),
        ),
        f"{at}/Refset/Map/der2_iisssccRefset_ExtendedMapSnapshot_INT_{date}.txt": rf2(
            "id effectiveTime active moduleId refsetId referencedComponentId mapGroup mapPriority mapRule mapAdvice mapTarget"
            " correlationId mapCategoryId",
            ("m1", date, 1, INT, 447562003, 1002002, 1, 1, "TRUE", "ALWAYS Z99.1", "Z99.1", 1, 1),
            ("m2", date, 1, INT, 447562003, 1001001, 1, 1, "IFA 1", "IF ODD", "Z99", 1, 1),
        ),
    }


CPT = {
    "CPT2099/Consolidated_Code_List.txt": (
        "Copyright of somebody\r\n\r\nConcept Id\tCPT Code\tLong\tMedium\tShort\tConsumer\tSpanish Consumer\r\n"
        "1\t0999T\tMeasurement of oddness by hand\tMEAS ODDNESS HAND\tMEAS ODD\tMeasuring oddness\tMedida\r\n"
        "2\t0999T\tSaid twice\t\t\t\t\r\n"
    )
}

UMLS = {
    "2099AA/META/MRCONSO.RRF": (
        atom("C9000001", "SNOMEDCT_US", "PT", "1002002", "Odd hand")
        + atom("C9000001", "ICD10CM", "PT", "Z99.1", "Oddness of the hand")
        + atom("C9000002", "MSH", "MH", "D999999", "Oddity")
    )
}

VSAC = {
    "many.xml": """<?xml version="1.0" encoding="UTF-8"?>
<ns0:RetrieveMultipleValueSetsResponse xmlns:ns0="urn:ihe:iti:svs:2008">
 <ns0:DescribedValueSet ID="2.16.840.1.113762.1.4.9999" displayName="Odd hands" version="20990101">
  <ns0:ConceptList>
   <ns0:Concept code="1002002" codeSystem="2.16.840.1.113883.6.96" codeSystemVersion="2099-03" displayName="Odd hand"/>
   <ns0:Concept code="Z99.1" codeSystem="2.16.840.1.113883.6.90" displayName="Oddness of the hand"/>
  </ns0:ConceptList>
 </ns0:DescribedValueSet>
</ns0:RetrieveMultipleValueSetsResponse>""",
    "one.csv": (
        'Value Set Name,"Odd, feet"\nOID,2.16.840.1.113762.1.4.9998\nDefinition Version,20990102\n\n'
        "Code,Description,Code System,Code System Version,Code System OID,TTY\n"
        "90001-1,Unobtainium,LOINC,9.99,2.16.840.1.113883.6.1,\n"
    ),
}

EVERYTHING = {
    "loinc": LOINC,
    "icd-10-cm": ORDER,
    "icd-9-cm": ICD_9,
    "gems": GEMS,
    "rxnorm": RXNORM,
    "snomed": snomed(),
    "cpt": CPT,
    "umls": UMLS,
    "vsac": VSAC,
}


def written(folder: Path, content: Mapping[str, str]) -> Path:
    """The files of a release in a folder."""
    for name, text in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
    return folder
