"""The settings of a hub: `healthsync.yaml` as one frozen tree.

The blocks `compliance`, `hl7`, `fhir`, `mpi`, `clinical_rules`, `research` and `retention` are those of the
requirements; the others are ours. Each key says what it does and, when its capability is still to come, why. A test
that shows an effect is marked `@pytest.mark.shows("key")`; `docs/reference/settings.md` is printed from both.

One file, though a long one, because it is read like the configuration file that it describes, from top to bottom.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from healthsync.settings.reading import setting
from healthsync.standards.fhir.definitions import resource_types

MIB = 1024 * 1024

RULES_LATER = "clinical decision support is not built yet"
RESEARCH_LATER = "the research warehouse is not built yet"
DELETION_LATER = "nothing is deleted by this version, so every term is met; deletion after a term is not built yet"
KEYS_LATER = "only the local keyring is built; keys in an HSM or a key service come with key management"


class AckMode(StrEnum):
    """HL7 v2.5.1 §2.9: original answers once (MSA-1 AA/AE/AR); enhanced answers CA/CE/CR at commit, AA/AE/AR later."""

    ORIGINAL = "original"
    ENHANCED = "enhanced"


class ConsentPolicy(StrEnum):
    """What holds when a patient has said nothing: `opt-out` permits, `opt-in` denies."""

    OPT_OUT = "opt-out"
    OPT_IN = "opt-in"


@dataclass(frozen=True, slots=True)
class TimeZone:
    """An IANA time zone name."""

    words = "a time zone such as America/New_York"
    name: str

    @classmethod
    def parse(cls, text: str) -> TimeZone:
        """Raises ValueError when the zone is unknown."""
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"“{text}” is not a time zone; write an IANA name such as America/New_York") from None
        return cls(text)

    @property
    def zone(self) -> ZoneInfo:
        """The rules of the zone."""
        return ZoneInfo(self.name)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Term:
    """How long something is kept: `6y`, `18m`, `90d` or `permanent` (days is None)."""

    words = "a term such as 6y, 18m, 90d or permanent"
    text: str
    days: int | None

    @classmethod
    def parse(cls, text: str) -> Term:
        """Raises ValueError when the text is not a term. A year counts 366 days and a month 31: never too short."""
        if text == "permanent":
            return cls(text, None)
        match = re.fullmatch(r"([1-9]\d{0,3})([dmy])", text)
        if not match:
            raise ValueError(f"“{text}” is not a term; write a number with d, m or y (6y, 90d) or permanent")
        return cls(text, int(match[1]) * {"d": 1, "m": 31, "y": 366}[match[2]])

    def __str__(self) -> str:
        return self.text


PERMANENT, SIX_YEARS, ONE_YEAR = Term.parse("permanent"), Term.parse("6y"), Term.parse("1y")


@dataclass(frozen=True, slots=True)
class Hub:
    """Who this hub is."""

    id: str | None = setting(
        "The hub's own id, part of the associated data of every sealed value. Absent: the id in the keyring. "
        "When both are there they must be equal, so that a keyring of another hub is noticed.",
        default=None,
    )
    name: str = setting(
        "The name people see, and the sending application (MSH-3) of acknowledgements.",
        default="HealthSync",
    )
    facility: str = setting(
        "The sending facility (MSH-4) of acknowledgements.",
        default="HUB",
    )
    time_zone: TimeZone = setting(
        "Used for HL7 v2 times that carry no offset, unless the partner names its own.",
        default=TimeZone("UTC"),
    )


@dataclass(frozen=True, slots=True)
class Database:
    """Where the data is."""

    url: str | None = setting(
        "Address of a PostgreSQL 15 or later (`postgresql://user@host/name`). Absent: the hub starts and supervises "
        "a PostgreSQL of its own beside its settings.",
        default=None,
    )
    pool_size: int = setting(
        "Connections that one process opens at most.",
        default=16,
        minimum=2,
        maximum=500,
    )
    statement_timeout_seconds: float = setting(
        "PostgreSQL ends a statement that runs longer.",
        default=60.0,
        minimum=1,
        maximum=86400,
    )


@dataclass(frozen=True, slots=True)
class HttpTls:
    """The certificate of the web server."""

    certificate: Path = setting(
        "PEM file of the certificate and its chain.",
    )
    key: Path = setting(
        "PEM file of the private key.",
    )


@dataclass(frozen=True, slots=True)
class Http:
    """The web server: FHIR, REST, metrics and health."""

    host: str = setting(
        "Address to listen on.",
        default="127.0.0.1",
    )
    port: int = setting(
        "Port to listen on; 0 takes a free one.",
        default=8080,
        minimum=0,
        maximum=65535,
    )
    tls: HttpTls | None = setting(
        "TLS of the web server. Absent: plain HTTP, for a loopback address or behind a TLS proxy.",
        default=None,
    )
    origins: tuple[str, ...] = setting(
        "Origins whose pages may use this server from a browser (CORS), such as https://app.example.org; `*` stands "
        "for all, `[]` for none. No cookie opens this server: a page needs a client's credential whatever its origin.",
        default=("*",),
    )


@dataclass(frozen=True, slots=True)
class MllpTls:
    """TLS of the MLLP server. `tls: true` is short for a block with the default files, `tls: false` for none."""

    enabled: bool = setting(
        "Whether MLLP is spoken over TLS.",
        default=True,
    )
    certificate: Path = setting(
        "PEM file of the certificate and its chain.",
        default=Path("tls/server.crt"),
    )
    key: Path = setting(
        "PEM file of the private key.",
        default=Path("tls/server.key"),
    )
    client_ca: Path | None = setting(
        "PEM file of the authorities whose client certificates are accepted.",
        default=None,
    )
    require_client_certificate: bool = setting(
        "Refuse a connection without a client certificate (mutual TLS, IHE ATNA).",
        default=False,
    )

    @classmethod
    def from_scalar(cls, value: object) -> MllpTls:
        """The meaning of `tls: true` and `tls: false`."""
        return cls(enabled=bool(value))

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.require_client_certificate and self.client_ca is None:
            yield "require_client_certificate", "needs client_ca: the authorities whose certificates are accepted"


@dataclass(frozen=True, slots=True)
class Mllp:
    """The HL7 v2 server (MLLP)."""

    host: str = setting(
        "Address to listen on.",
        default="127.0.0.1",
    )
    port: int = setting(
        "Port to listen on; 0 takes a free one.",
        default=2575,
        minimum=0,
        maximum=65535,
    )
    tls: MllpTls = setting(
        "`true`, `false` or a block. Without TLS only a loopback address is served, unless `development` is on.",
        default=MllpTls,
    )
    max_message_bytes: int = setting(
        "A longer message is refused; the connection goes on.",
        default=16 * MIB,
        minimum=1024,
        maximum=1024 * MIB,
    )
    max_connections: int = setting(
        "Connections held at the same time; a further one is closed at once.",
        default=512,
        minimum=1,
        maximum=65536,
    )
    idle_timeout_seconds: float = setting(
        "A connection that sends nothing between messages for this long is closed.",
        default=600.0,
        minimum=1,
    )
    read_timeout_seconds: float = setting(
        "A message that has begun must be complete within this time.",
        default=30.0,
        minimum=0.1,
    )


@dataclass(frozen=True, slots=True)
class Hl7:
    """HL7 v2."""

    mllp: Mllp = setting("The server for HL7 v2 messages.", default=Mllp)
    ack_mode: AckMode = setting(
        "`original`: one answer, AA after the commit. `enhanced`: CA after the commit, the application's answer later. "
        "A message that asks by MSH-15 and MSH-16 gets what it asks for.",
        default=AckMode.ORIGINAL,
    )
    character_encoding: str = setting(
        "Read a message that names no character set (MSH-18) in this one.",
        default="UTF-8",
    )
    processing_path: Path | None = setting(
        "An `hl7_processing` document whose mappings override ours field by field.",
        default=None,
    )
    enrichment_path: Path | None = setting(
        "An `enrichment` document: tables of places, providers, organisations, insurers and codes that fill in what "
        "messages leave out.",
        default=None,
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        try:
            codecs.lookup(self.character_encoding)
        except (LookupError, ValueError):  # the latter for what no name can have: NUL, lone surrogates
            yield "character_encoding", f"{self.character_encoding!a} is not a character set; try UTF-8 or ISO-8859-1"


@dataclass(frozen=True, slots=True)
class SourceNormalisation:
    """The contract with one source. An absent key is as for the hub."""

    names: Literal["as-sent", "title-case"] | None = setting("As `normalisation.names`.", default=None)
    phones: Literal["as-sent", "e164"] | None = setting("As `normalisation.phones`.", default=None)
    addresses: Literal["as-sent", "usps"] | None = setting("As `normalisation.addresses`.", default=None)
    date_order: Literal["MDY", "DMY", "YMD"] | None = setting("As `normalisation.date_order`.", default=None)
    country: str | None = setting("As `normalisation.country`.", default=None)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.country is not None:
            yield from _country_faults(self.country)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What of names, numbers and addresses in messages is brought to one form. The original always stands beside."""

    names: Literal["as-sent", "title-case"] = setting(
        "`title-case`: names of people that were sent without case, or whole in one field, in parts and title case "
        "(MCDONALD → McDonald). `as-sent`: untouched.",
        default="as-sent",
    )
    phones: Literal["as-sent", "e164"] = setting(
        "`e164`: telephone numbers as `+12025550143`, addresses of mail with their domain in small letters.",
        default="as-sent",
    )
    addresses: Literal["as-sent", "usps"] = setting(
        "`usps`: addresses in the United States as the postal service writes them (`123 N Main St Apt 2`).",
        default="as-sent",
    )
    date_order: Literal["MDY", "DMY", "YMD"] | None = setting(
        "How dates such as 01/02/2024 are meant. Absent: what can be two days is left out and reported.",
        default=None,
    )
    country: str = setting(
        "ISO 3166 code of the country of numbers and addresses that name none.",
        default="US",
    )
    by_source: dict[str, SourceNormalisation] | None = setting(
        "Name of a partner: what holds for its messages instead, in a block of these keys.",
        default=None,
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        yield from _country_faults(self.country)


def _country_faults(country: str) -> Iterator[tuple[str, str]]:
    if not re.fullmatch(r"[A-Z]{2}", country):
        yield "country", f"“{country}” is no country code; write two capital letters such as US"


Interaction = Literal["read", "vread", "search", "create", "update", "patch", "delete", "history"]


@dataclass(frozen=True, slots=True)
class Fhir:
    """The FHIR server."""

    version: Literal["R4"] = setting(
        "The FHIR release that is spoken and stored.",
        default="R4",
    )
    base_url: str = setting(
        "The public address of the FHIR server. Its path is where FHIR is served; `/api/fhir` always is an alias.",
        default="/fhir",
    )
    capabilities: tuple[Interaction, ...] | None = setting(
        "Interactions offered to clients; never restricts what partners send in. Absent: all.",
        default=None,
    )
    supported_resources: tuple[str, ...] | None = setting(
        "Resource types offered to clients; never restricts what partners send in. Absent: all.",
        default=None,
    )
    update_create: bool = setting(
        "Whether an update may create a resource under the id that it names. Without it, such an update is refused "
        "(405) and clients create by POST.",
        default=True,
    )
    conditional_delete: Literal["single", "multiple"] = setting(
        "Whether a conditional delete that finds several resources is refused (412) or deletes them all, 1000 at most.",
        default="single",
    )
    bundle_entries: int = setting(
        "Entries that one batch or transaction may have; more are refused (413).",
        default=20_000,
        minimum=1,
        maximum=1_000_000,
    )
    opened_megabytes: int = setting(
        "Memory of each process for resources that searches and the patient index opened (decrypted) a moment ago; "
        "0 keeps none.",
        default=64,
        minimum=0,
        maximum=100_000,
    )
    reference_integrity: Literal["enforce", "warn", "placeholder", "off"] = setting(
        "What a client's write that points to a resource which is not here meets: `enforce` refuses it, and refuses "
        "deleting what others point to; `warn` stores it and says so, and creates a missing Patient, empty "
        "and tagged; `placeholder` does so for any type; `off` does not look, but a patient must be known. What "
        "partners send in is never refused for it.",
        default="warn",
    )
    reference_integrity_by_type: dict[str, Literal["enforce", "warn", "placeholder", "off"]] | None = setting(
        "Resource type: what its references meet instead.",
        default=None,
    )
    standardise: bool = setting(
        "Whether what clients write and imports read gets standard codes and canonical quantities beside what was "
        "sent, as messages always do.",
        default=False,
    )
    required_profiles: dict[str, tuple[str, ...]] | None = setting(
        "Resource type: canonical URLs of profiles, of which every resource of this type that a client writes must "
        "meet one. A profile that no package brought (`healthsync package add`) is met by nothing.",
        default=None,
    )
    profile_validation: Literal["enforce", "warn", "off"] = setting(
        "What a resource meets that breaks a loaded profile which it claims in `meta.profile`: `enforce` refuses it, "
        "`warn` stores it and says so, `off` does not look. `required_profiles` refuse always.",
        default="warn",
    )

    @property
    def base_path(self) -> str:
        """The path under which FHIR is served: of `https://fhir.hospital.org/api` it is `/api`, without one `/fhir`."""
        path = urlsplit(self.base_url).path.strip("/")
        return f"/{path}" if path else "/fhir"

    @property
    def address(self) -> str:
        """The base of every link: `base_url` with its path."""
        return urlsplit(self.base_url)._replace(path=self.base_path).geturl()

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        parts = urlsplit(self.base_url)
        if parts.query or parts.fragment or (parts.scheme or "https") not in {"http", "https"}:
            yield "base_url", "write an address such as https://fhir.example.org/fhir, or only the path"
        for name in sorted((self.required_profiles or {}).keys() - resource_types()):
            yield "required_profiles", f"{name} is no resource type of FHIR R4"
        for name in sorted((self.reference_integrity_by_type or {}).keys() - resource_types()):
            yield "reference_integrity_by_type", f"{name} is no resource type of FHIR R4"


@dataclass(frozen=True, slots=True)
class Encryption:
    """How patient data is sealed."""

    algorithm: Literal["aes-256-gcm"] = setting(
        "The cipher of sealed elements (NIST SP 800-38D).",
        default="aes-256-gcm",
    )
    key_provider: Literal["local", "aws-kms", "hashicorp-vault", "hsm"] = setting(
        "Who holds the keys that wrap data keys.",
        default="local",
        later_values=dict.fromkeys(("aws-kms", "hashicorp-vault", "hsm"), KEYS_LATER),
    )
    key_id: str | None = setting("The key at the key provider.", default=None, later=KEYS_LATER)
    keyring_path: Path = setting(
        "The file of the local keyring (mode 0600). Losing it is losing the data: keep a copy elsewhere.",
        default=Path("keys/keyring.json"),
    )


@dataclass(frozen=True, slots=True)
class HipaaAudit:
    """The audit log."""

    enabled: bool = setting(
        "Whether accesses are recorded. `false` is refused unless the hub runs with `--insecure-development`.",
        default=True,
    )
    retention_years: int = setting(
        "Years that audit records are kept, at least (45 CFR 164.316(b)(2)(i) asks for six).",
        default=6,
        minimum=6,
        later=DELETION_LATER,
    )
    tamper_proof: bool = setting(
        "The log is a signed Merkle tree (RFC 9162), always. `false` is refused unless the hub runs with "
        "`--insecure-development`.",
        default=True,
    )


@dataclass(frozen=True, slots=True)
class Hipaa:
    """HIPAA (45 CFR 160 and 164)."""

    enabled: bool = setting(
        "Sealing, access control, consent and audit. `false` is refused unless the hub runs with "
        "`--insecure-development`.",
        default=True,
    )
    phi_detection: Literal["automatic", "manual"] = setting(
        "`automatic` also looks for identifiers in free text; `manual` protects only what is PHI by type or by rule.",
        default="automatic",
        later="elements are sealed by type and every free text whole; detection inside text is not built yet",
    )
    encryption: Encryption = setting("How patient data is sealed.", default=Encryption)
    audit: HipaaAudit = setting("The audit log.", default=HipaaAudit)


@dataclass(frozen=True, slots=True)
class Compliance:
    """Rules of law."""

    hipaa: Hipaa = setting("HIPAA (45 CFR 160 and 164).", default=Hipaa)


@dataclass(frozen=True, slots=True)
class IdentityReview:
    """What people decide about who is who."""

    due_hours: int = setting("Hours within which a task is to be decided.", default=72, minimum=1)
    overlay_due_hours: int = setting(
        "The same for an update that looks like somebody else's; it is held until then.", default=24, minimum=1
    )
    second_reader_share: float = setting(
        "Share (0–1) of decisions that a second person is asked, without being told the first. Two who disagree make a "
        "third decide.",
        default=0.05,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True, slots=True)
class LearnedModel:
    """A model that learned from reviews, where the statistical weights doubt."""

    enabled: bool = setting(
        "Whether the model that `healthsync identity models use` has chosen decides about the pairs that the weights "
        "leave to a person. No veto, gate or decision gives way to it.",
        default=False,
    )
    certain_threshold: float = setting(
        "Probability (0–100) from which it links without a flag; 100: never.", default=100.0, minimum=50, maximum=100
    )
    auto_merge_threshold: float = setting(
        "Probability (0–100) from which it links and flags.", default=99.0, minimum=50, maximum=100
    )
    dismiss_threshold: float = setting(
        "Probability (0–100) below which nobody is asked; 0: somebody always is.", default=0.0, minimum=0, maximum=50
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.auto_merge_threshold > self.certain_threshold:
            yield "auto_merge_threshold", f"{self.auto_merge_threshold:g} lies above certain_threshold"


@dataclass(frozen=True, slots=True)
class Mpi:
    """The master patient index."""

    enabled: bool = setting(
        "Whether records of one person from several sources are linked.",
        default=True,
        later="linking is always on; a hub without linking is not built yet",
    )
    algorithm: Literal["probabilistic", "deterministic"] = setting(
        "What decides where the deterministic rules do not: weights or points (see `profile`), or nothing.",
        default="probabilistic",
    )
    profile: str = setting(
        "What a probabilistic hub decides by: `statistical`, the table of points `exchange`, or the path of a "
        "`patient_matching` document.",
        default="statistical",
    )
    auto_merge_threshold: float = setting(
        "Score (0–100) from which two records are linked; the statistical weights flag links below 99.7 as well. "
        "Tables of points have thresholds of their own.",
        default=95.0,
        minimum=0,
        maximum=100,
    )
    review_threshold: float = setting(
        "Score (0–100) from which a person decides. Tables of points have thresholds of their own.",
        default=75.0,
        minimum=0,
        maximum=100,
    )
    named_rules: str = setting(
        "Rules of the deterministic tier by name: `cms` (those of the CMS patient-matching proposal), `none`, or the "
        "path of a document like it. A hub that decides by points has none.",
        default="cms",
    )
    authorities_path: Path | None = setting(
        "An `assigning_authorities` document: which namespaces, OIDs and URIs mean one assigning authority.",
        default=None,
    )
    source_trust: dict[str, int] | None = setting(
        "Trust in sources (partner or client id → number, more is better, 0 where nothing is said), for where records "
        "of one person disagree.",
        default=None,
    )
    survivorship_path: Path | None = setting(
        "Document with rules for the golden record in the place of those that ship with the hub.", default=None
    )
    review: IdentityReview = setting("What people decide about who is who.", default=IdentityReview)
    learned: LearnedModel = setting(
        "A model that learned from reviews, where the statistical weights doubt.", default=LearnedModel
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.learned.enabled and (self.algorithm != "probabilistic" or self.profile != "statistical"):
            yield "learned", "a learned model stands beside the weights: algorithm probabilistic, profile statistical"
        if self.review_threshold > self.auto_merge_threshold:
            yield "review_threshold", f"{self.review_threshold:g} lies above auto_merge_threshold; nothing is reviewed"


@dataclass(frozen=True, slots=True)
class AlertChannel:
    """Where alerts go."""

    type: Literal["hl7", "webhook", "email"] = setting("The kind of channel.", later=RULES_LATER)
    destination: str | None = setting(
        "Address of an HL7 receiver (`mllp://host:port`).", default=None, later=RULES_LATER
    )
    url: str | None = setting("Address of a web hook.", default=None, later=RULES_LATER)


@dataclass(frozen=True, slots=True)
class ClinicalRules:
    """Clinical decision support."""

    enabled: bool = setting("Whether clinical rules run on arriving data.", default=False, later=RULES_LATER)
    rules_path: Path | None = setting("Folder of `clinical_rules` documents.", default=None, later=RULES_LATER)
    alert_channels: tuple[AlertChannel, ...] = setting("Where alerts go.", default=(), later=RULES_LATER)


@dataclass(frozen=True, slots=True)
class Deidentification:
    """How research data is de-identified."""

    enabled: bool = setting("Whether data sets can be de-identified.", default=False, later=RESEARCH_LATER)
    method: Literal["safe_harbor", "expert_determination"] = setting(
        "45 CFR 164.514(b)(2) or (b)(1).", default="safe_harbor", later=RESEARCH_LATER
    )
    k_anonymity: int = setting(
        "Smallest group that may share quasi-identifiers.", default=5, minimum=2, later=RESEARCH_LATER
    )


@dataclass(frozen=True, slots=True)
class ExportDestination:
    """Where data sets are written."""

    type: Literal["s3", "azure_blob", "gcs", "file"] = setting("The kind of store.", later=RESEARCH_LATER)
    bucket: str | None = setting("Bucket (s3, gcs).", default=None, later=RESEARCH_LATER)
    container: str | None = setting("Container (azure_blob).", default=None, later=RESEARCH_LATER)
    path: Path | None = setting("Folder (file).", default=None, later=RESEARCH_LATER)


@dataclass(frozen=True, slots=True)
class DataExport:
    """Research exports."""

    formats: tuple[Literal["parquet", "csv", "fhir_bundle", "ndjson"], ...] = setting(
        "Formats that may be written.", default=(), later=RESEARCH_LATER
    )
    destinations: tuple[ExportDestination, ...] = setting(
        "Stores that may be written to.", default=(), later=RESEARCH_LATER
    )


@dataclass(frozen=True, slots=True)
class Research:
    """Research and analytics."""

    deidentification: Deidentification = setting("How data sets are de-identified.", default=Deidentification)
    data_export: DataExport = setting("How data sets leave.", default=DataExport)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept."""

    medical_records: Term = setting("Clinical data.", default=PERMANENT, later=DELETION_LATER)
    raw_messages: Term = setting(
        "The bytes of HL7 v2 messages as they were received; what was made of them stays. A source may have its own "
        "term (`healthsync messages keep`), and a legal hold outranks both. With the bytes go their keys.",
        default=PERMANENT,
    )
    audit_logs: Term = setting("Audit records; six years at least.", default=SIX_YEARS, later=DELETION_LATER)
    system_logs: Term = setting("Technical logs.", default=ONE_YEAR, later=DELETION_LATER)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if self.audit_logs.days is not None and self.audit_logs.days < 6 * 365:
            yield "audit_logs", f"{self.audit_logs} is shorter than the six years of 45 CFR 164.316(b)(2)(i)"


@dataclass(frozen=True, slots=True)
class Quality:
    """How good messages must be. A source's contract (`healthsync quality contract`) raises the bands for it."""

    excellent: int = setting("Points (of 100) from which a message is accepted without a word.", default=90,
                             minimum=0, maximum=100)  # fmt: skip
    good: int = setting("Points from which it is accepted with warnings; below, it is up for review.", default=75,
                        minimum=0, maximum=100)  # fmt: skip
    minimum: int = setting("Points that a message must have; exactly so many pass.", default=60,
                           minimum=0, maximum=100)  # fmt: skip
    below_minimum: Literal["review", "reject"] = setting(
        "What follows below `minimum`: `review` stores the message and puts it on the list, `reject` keeps it as a "
        "dead letter. It was acknowledged in either case and is never discarded.",
        default="review",
    )
    rules_path: Path | None = setting(
        "A `validation_rules` document; its rules replace ours about the same columns.",
        default=None,
    )
    rubric_path: Path | None = setting(
        "A rubric of your own, of the form of the shipped one: lines of a known id replace ours, others are added.",
        default=None,
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if not self.minimum <= self.good <= self.excellent:
            yield "good", "the bands rise: minimum, good, excellent (60, 75, 90)"


@dataclass(frozen=True, slots=True)
class Consent:
    """Consent when a patient has said nothing."""

    policy: ConsentPolicy = setting(
        "`opt-out`: data is disclosed for a permitted purpose unless the patient objects. `opt-in`: only after "
        "a consent.",
        default=ConsentPolicy.OPT_OUT,
    )


@dataclass(frozen=True, slots=True)
class Jwt:
    """Signed tokens (RFC 7519, RFC 9068) of an identity provider."""

    issuer: str = setting(
        "The `iss` that a token must carry.",
    )
    audience: str = setting(
        "The `aud` that a token must carry.",
    )
    jwks_path: Path = setting(
        "File with the issuer's public keys (JWK Set, RFC 7517); read again when it changes.",
    )
    algorithms: tuple[Literal["RS256", "RS384", "ES256", "ES384"], ...] = setting(
        "Signature algorithms that are accepted.",
        default=("RS256", "ES384"),
    )


@dataclass(frozen=True, slots=True)
class Authentication:
    """Who may ask. API keys of `healthsync client create` always work."""

    jwt: Jwt | None = setting(
        "Accept signed tokens of this issuer. Absent: API keys only.",
        default=None,
    )


@dataclass(frozen=True, slots=True)
class Worker:
    """The part that processes accepted messages."""

    processes: Literal["auto"] | int = setting(
        "Worker processes; `auto` is one for each of the machine's cores.",
        default="auto",
        minimum=1,
        maximum=256,
    )
    batch_size: int = setting(
        "Messages that one transaction processes at most.",
        default=50,
        minimum=1,
        maximum=1000,
    )
    max_attempts: int = setting(
        "Attempts before a message becomes a dead letter.",
        default=8,
        minimum=1,
        maximum=100,
    )
    backoff_seconds: float = setting(
        "Wait after the first failed attempt; doubles each time.",
        default=1.0,
        minimum=0,
    )
    backoff_max_seconds: float = setting(
        "Longest wait between two attempts.",
        default=300.0,
        minimum=0,
    )

    @property
    def process_count(self) -> int:
        """The number of worker processes on this machine."""
        return (os.cpu_count() or 1) if self.processes == "auto" else self.processes


@dataclass(frozen=True, slots=True)
class Jobs:
    """Long work that clients start and fetch later."""

    lease_seconds: float = setting(
        "A worker that gives no sign of life for this long loses its job to another, which goes on from the last "
        "commit.",
        default=30.0,
        minimum=1,
        maximum=3600,
    )
    keep_hours: float = setting(
        "Hours after its end that a job and its files stay; then both are deleted, and the key of the files with them.",
        default=24.0,
        minimum=0.01,
        maximum=8760,
    )
    webhook_hosts: tuple[str, ...] = setting(
        "Hosts (`host` or `host:port`) that clients may have called by https when a job ends (header `X-Webhook`). "
        "Empty: none.",
        default=(),
    )


@dataclass(frozen=True, slots=True)
class Applications:
    """Applications of the SDK: what waits for their handlers."""

    max_attempts: int = setting(
        "Attempts before a delivery becomes a dead letter of its handler.",
        default=5,
        minimum=1,
        maximum=100,
    )
    backoff_seconds: float = setting(
        "Wait after the first attempt at which a handler failed; doubles each time.",
        default=1.0,
        minimum=0,
    )
    backoff_max_seconds: float = setting(
        "Longest wait between two attempts.",
        default=60.0,
        minimum=0,
    )
    lease_seconds: float = setting(
        "An instance of an application that gives no sign of life for this long loses its deliveries to another.",
        default=15.0,
        minimum=1,
        maximum=3600,
    )
    keep_days: float = setting(
        "Days that a delivery stays after it was handled, with what was answered; dead letters stay until replayed.",
        default=30.0,
        minimum=0.0001,
        maximum=36500,
    )


@dataclass(frozen=True, slots=True)
class BulkData:
    """Bulk export and import (FHIR Bulk Data Access)."""

    folder: Path = setting(
        "Where files of exports lie until they are fetched, sealed under a key of their job. Workers and API processes "
        "must share it.",
        default=Path("exports"),
    )
    bucket: str | None = setting(
        "A bucket instead of the folder: `s3://bucket/prefix`, `gs://…` or `az://…`. Credentials come from the "
        "environment, as the cloud's own tools read them. Needs `pip install healthsync[object-storage]`.",
        default=None,
    )
    file_bytes: int = setting(
        "Bytes of NDJSON after which an export begins a new file; also what a worker that dies has to do again, and "
        "about the memory that an export takes.",
        default=64 * MIB,
        minimum=1024,
        maximum=1024 * MIB,
    )
    gzip_level: int = setting(
        "How hard files are compressed: 0 (not at all) to 9.",
        default=1,
        minimum=0,
        maximum=9,
    )
    max_running: int = setting(
        "Exports, and imports, that one client may have at work; a further one is answered with 429.",
        default=2,
        minimum=1,
        maximum=1000,
    )
    import_folder: Path | None = setting(
        "Folder from which `$import` may read files by name. Absent: from none.",
        default=None,
    )
    import_hosts: tuple[str, ...] = setting(
        "Hosts (`host` or `host:port`) from which `$import` may read by https. Empty: from none.",
        default=(),
    )
    import_processes: Literal["auto"] | int = setting(
        "Processes that share one import, those of `healthsync import` and of `$import`; `auto` is one for each of the "
        "machine's cores. Each takes about 150 MB while the import lasts, and two connections to the database.",
        default="auto",
        minimum=1,
        maximum=64,
    )

    @property
    def import_process_count(self) -> int:
        """The number of processes that share an import on this machine."""
        return (os.cpu_count() or 1) if self.import_processes == "auto" else self.import_processes


@dataclass(frozen=True, slots=True)
class SubscriptionEmail:
    """The mail server over which subscribers are told."""

    host: str = setting("Name of the mail server.")
    sender: str = setting("The address that notifications come from.")
    port: int = setting("Port of the mail server.", default=587, minimum=1, maximum=65535)
    security: Literal["starttls", "tls", "none"] = setting(
        "`starttls` or `tls`; `none` only for a server on the same machine.",
        default="starttls",
    )
    username: str | None = setting("User name at the mail server. Absent: without authentication.", default=None)
    password_path: Path | None = setting("File with the password at the mail server.", default=None)
    payload: bool = setting(
        "Whether mail may carry ids and resources of patients when a subscription asks for it. Only for a mail path "
        "that is secured as the law asks (such as Direct).",
        default=False,
    )


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """How subscribers are told of changes (FHIR Subscriptions)."""

    allowed_hosts: tuple[str, ...] = setting(
        "Receivers (`host` or `host:port`) that may have an address inside the own network, and may use http. Every "
        "other receiver must be public and use https.",
        default=(),
    )
    timeout_seconds: float = setting(
        "A receiver must answer a notification within this time, unless its subscription sets another (60 s at most).",
        default=10.0,
        minimum=0.1,
        maximum=60,
    )
    max_attempts: int = setting(
        "Failures in a row before a subscription is in error; what changes then waits until its client asks again.",
        default=8,
        minimum=1,
        maximum=100,
    )
    backoff_seconds: float = setting("Wait after the first failure; doubles each time.", default=1.0, minimum=0)
    backoff_max_seconds: float = setting("Longest wait between two attempts.", default=300.0, minimum=0)
    max_waiting: int = setting(
        "Changes that may wait for one subscription; with more it is switched off.",
        default=10_000,
        minimum=1,
        maximum=10_000_000,
    )
    token_days: int = setting(
        "Days after which a subscription that was asked for with a signed token ends, unless it is asked for again: "
        "nobody tells the hub that the token's holder has left. Those of API keys end with the key.",
        default=30,
        minimum=1,
        maximum=3650,
    )
    topics_path: Path | None = setting("Document with topics beside those that ship with the hub.", default=None)
    email: SubscriptionEmail | None = setting("Mail server for the channel email. Absent: no mail.", default=None)


@dataclass(frozen=True, slots=True)
class Deliveries:
    """HL7 v2 messages to partners. The partners themselves are added with `healthsync destination`."""

    keep_days: int = setting(
        "Days that a delivered message is kept, sealed. Dead letters stay until they are retried or discarded.",
        default=30,
        minimum=0,
        maximum=36500,
    )


@dataclass(frozen=True, slots=True)
class Graphql:
    """Bounds of `$graphql`."""

    max_depth: int = setting("Levels of fields in one query.", default=16, minimum=1, maximum=100)
    max_fields: int = setting(
        "Fields of one query after its fragments are put in; also bounds what fragments can multiply.",
        default=2000,
        minimum=1,
        maximum=100_000,
    )
    max_reads: int = setting(
        "Reads and searches that one query may cause: each reference followed and each list is one.",
        default=500,
        minimum=1,
        maximum=100_000,
    )


@dataclass(frozen=True, slots=True)
class Audit:
    """How the audit log proves itself."""

    heads_path: Path = setting(
        "Folder to which signed heads of the log are published. Put it where whoever can change the database cannot.",
        default=Path("audit/heads"),
    )
    head_interval_seconds: float = setting(
        "Time between two signed heads while records arrive.",
        default=1.0,
        minimum=0.1,
        maximum=3600,
    )


@dataclass(frozen=True, slots=True)
class Logging:
    """The technical log. It carries no patient values, at any level."""

    level: Literal["debug", "info", "warning", "error"] = setting(
        "The least serious entries that are written.",
        default="info",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that an operator can say about a hub, validated. Made by `load_settings`."""

    hub: Hub = setting("Who this hub is.", default=Hub)
    compliance: Compliance = setting("Rules of law.", default=Compliance)
    hl7: Hl7 = setting("HL7 v2 messages.", default=Hl7)
    normalisation: Normalisation = setting(
        "What of names, numbers and addresses in messages is brought to one form.", default=Normalisation
    )
    fhir: Fhir = setting("The FHIR server.", default=Fhir)
    mpi: Mpi = setting("The master patient index.", default=Mpi)
    clinical_rules: ClinicalRules = setting("Clinical decision support.", default=ClinicalRules)
    research: Research = setting("Research and analytics.", default=Research)
    retention: Retention = setting("How long things are kept.", default=Retention)
    quality: Quality = setting("How good messages must be.", default=Quality)
    database: Database = setting("Where the data is.", default=Database)
    http: Http = setting("The web server.", default=Http)
    consent: Consent = setting("Consent when a patient has said nothing.", default=Consent)
    authentication: Authentication = setting("Who may ask.", default=Authentication)
    worker: Worker = setting("Processing of accepted messages.", default=Worker)
    jobs: Jobs = setting("Long work that clients start and fetch later.", default=Jobs)
    applications: Applications = setting("What waits for handlers of applications.", default=Applications)
    bulk_data: BulkData = setting("Bulk export and import.", default=BulkData)
    subscriptions: Subscriptions = setting("How subscribers are told of changes.", default=Subscriptions)
    deliveries: Deliveries = setting("HL7 v2 messages to partners.", default=Deliveries)
    graphql: Graphql = setting("Bounds of `$graphql`.", default=Graphql)
    audit: Audit = setting("How the audit log proves itself.", default=Audit)
    logging: Logging = setting("The technical log.", default=Logging)
    development: bool = setting(
        "For a laptop: unknown partners on the loopback address are admitted and MLLP needs no TLS there. Warns at "
        "every start. Never for real patients.",
        default=False,
    )

    @property
    def mllp(self) -> Mllp:
        """Short for `hl7.mllp`."""
        return self.hl7.mllp

    @property
    def hipaa(self) -> Hipaa:
        """Short for `compliance.hipaa`."""
        return self.compliance.hipaa

    @property
    def keyring_path(self) -> Path:
        """The file of the local keyring."""
        return self.compliance.hipaa.encryption.keyring_path

    @property
    def time_zone(self) -> ZoneInfo:
        """The zone of HL7 v2 times without an offset."""
        return self.hub.time_zone.zone
