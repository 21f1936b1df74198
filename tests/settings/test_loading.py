from pathlib import Path

import pytest

from healthsync.errors import ConfigurationError
from healthsync.settings import (
    AckMode,
    ConsentPolicy,
    InvalidSettings,
    Settings,
    load_settings,
    read_settings,
    require_startable,
    warnings_of,
)
from healthsync.settings.reading import later_keys, walk


@pytest.fixture
def write(tmp_path):
    """Writes healthsync.yaml and gives its folder."""

    def write(text: str) -> Path:
        (tmp_path / "healthsync.yaml").write_text(text)
        return tmp_path

    return write


@pytest.mark.shared
@pytest.mark.shows(
    "hl7.ack_mode",
    "hl7.mllp.port",
    "compliance.hipaa.encryption.algorithm",
    "compliance.hipaa.audit.retention_years",
    "fhir.version",
)
def test_the_document_of_the_requirements_loads_as_it_stands(shared_data):
    document = shared_data.parent / "spec" / "config" / "healthsync.yaml"
    settings = load_settings(document, environ={})
    assert settings.hl7.ack_mode is AckMode.ENHANCED
    assert (settings.mllp.host, settings.mllp.port, settings.mllp.tls.enabled) == ("0.0.0.0", 2575, True)
    assert settings.hipaa.encryption.key_provider == "aws-kms"
    assert settings.hipaa.audit.retention_years == 6
    assert settings.fhir.base_path == "/api"
    assert settings.fhir.supported_resources[:2] == ("Patient", "Encounter")
    assert (settings.mpi.auto_merge_threshold, settings.mpi.review_threshold) == (95, 75)
    assert settings.clinical_rules.alert_channels[1].url == "https://paging.hospital.org/api/alert"
    assert [one.type for one in settings.research.data_export.destinations] == ["s3", "azure_blob"]
    assert settings.retention.medical_records.days is None
    assert settings.retention.audit_logs.days >= 6 * 365


@pytest.mark.shared
def test_what_the_document_of_the_requirements_asks_for_and_is_not_built_is_named(shared_data):
    loaded = read_settings(shared_data.parent / "spec" / "config" / "healthsync.yaml", environ={})
    later = loaded.not_yet_in_effect()
    assert "local keyring" in later["compliance.hipaa.encryption.key_provider"]
    assert "clinical_rules.enabled" in later
    assert "hl7.ack_mode" not in later


@pytest.mark.shows(
    "hub.facility",
    "hl7.mllp.max_message_bytes",
    "hl7.mllp.max_connections",
    "hl7.mllp.idle_timeout_seconds",
    "hl7.mllp.read_timeout_seconds",
    "database.statement_timeout_seconds",
    "consent.policy",
    "worker.batch_size",
    "worker.max_attempts",
    "worker.backoff_seconds",
    "worker.backoff_max_seconds",
    "audit.head_interval_seconds",
)
@pytest.mark.parametrize("text", ["healthsync:\n", "healthsync: {}\n", "healthsync:\n  hl7:\n    mllp:\n  worker:\n"])
def test_an_empty_block_means_its_defaults(write, text):
    settings = load_settings(write(text), environ={})
    assert settings.hub.facility == "HUB"
    assert settings.mllp.max_message_bytes == 16 * 1024 * 1024
    assert (settings.mllp.max_connections, settings.mllp.idle_timeout_seconds, settings.mllp.read_timeout_seconds) == (
        512,
        600,
        30,
    )
    assert settings.database.statement_timeout_seconds == 60
    assert settings.consent.policy is ConsentPolicy.OPT_OUT
    assert (settings.worker.batch_size, settings.worker.max_attempts) == (50, 8)
    assert (settings.worker.backoff_seconds, settings.worker.backoff_max_seconds) == (1, 300)
    assert settings.audit.head_interval_seconds == 1
    assert settings.development is False


@pytest.mark.shows(
    "hub.time_zone",
    "database.pool_size",
    "hl7.character_encoding",
    "fhir.version",
    "compliance.hipaa.encryption.algorithm",
    "compliance.hipaa.audit.retention_years",
    "logging.level",
)
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hub:\n    tme_zone: UTC", "healthsync.yaml:3: hub.tme_zone: unknown key; did you mean time_zone?"),
        ("hub:\n    time_zone: Mars/Base", "hub.time_zone: “Mars/Base” is not a time zone; write an IANA name"),
        ("database:\n    pool_size: 1", "database.pool_size: 1 is less than 2, the smallest allowed"),
        ("database:\n    pool_size: many", "healthsync.yaml:3: database.pool_size: a whole number belongs here"),
        ("http:\n    port: 65536", "http.port: 65536 is more than 65535, the largest allowed"),
        ("http: 8080", "http: a block with host, port, tls, origins belongs here"),
        ("hl7:\n    ack_mode: enhaced", "“enhaced” is not one of original, enhanced; did you mean enhanced?"),
        ("hl7:\n    character_encoding: klingon", "'klingon' is not a character set; try UTF-8 or ISO-8859-1"),
        ('hl7:\n    character_encoding: "\\0"', "'\\x00' is not a character set; try UTF-8 or ISO-8859-1"),
        ("fhir:\n    version: R5", "fhir.version: “R5” is not one of R4"),
        ("fhir:\n    base_url: 'ftp://x/y'", "fhir.base_url: write an address such as https://fhir.example.org/fhir"),
        ("fhir:\n    capabilities: read", "a list, each entry read or vread or search"),
        ("logging:\n    level: loud", "“loud” is not one of debug, info, warning, error"),
        ("retention:\n    audit_logs: 5y", "5y is shorter than the six years of 45 CFR 164.316(b)(2)(i)"),
        (
            "retention:\n    audit_logs: soon",
            "“soon” is not a term; write a number with d, m or y (6y, 90d) or permanent",
        ),
        ("compliance: {hipaa: {audit: {retention_years: 5}}}", "5 is less than 6, the smallest allowed"),
        ("compliance: {hipaa: {encryption: {algorithm: des}}}", "“des” is not one of aes-256-gcm"),
        ("mpi: {auto_merge_threshold: 50}", "75 lies above auto_merge_threshold; nothing is reviewed"),
        ("hub: {name: 7}", "hub.name: text belongs here; put it in quotes"),
        ("hub: {name: a}\n  hub: {name: b}", "healthsync.yaml:3: hub: stands twice in the same block; keep one"),
        ("http: [", "this is not YAML"),
        ("authentication: {jwt: {issuer: x}}", "authentication.jwt.audience: is missing: The `aud`"),
        ("development: yes please", "development: true or false belongs here"),
    ],
)
def test_a_fault_names_its_key_its_line_and_the_remedy(write, text, sentence):
    with pytest.raises(InvalidSettings) as refused:
        load_settings(write(f"healthsync:\n  {text}\n"), environ={})
    assert sentence in str(refused.value)


def test_every_fault_is_named_at_once(write):
    with pytest.raises(InvalidSettings) as refused:
        load_settings(write("healthsync:\n  http: {port: x}\n  hubb: {}\n  logging: {level: 1}\n"), environ={})
    assert [problem.key for problem in refused.value.problems] == ["http.port", "hubb", "logging.level"]


@pytest.mark.parametrize("text", ["hub: {}\n", "- 1\n", "healthsync: {}\nother: {}\n"])
def test_a_file_without_the_one_block_at_the_top_is_refused(write, text):
    with pytest.raises(InvalidSettings, match="the file must have one block at the top"):
        load_settings(write(text), environ={})


def test_a_folder_without_settings_is_answered_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(ConfigurationError, match=f"no settings at {tmp_path}/healthsync.yaml; run: healthsync init"):
        load_settings(tmp_path, environ={})


def test_a_folder_may_be_named_like_a_file(tmp_path):
    with pytest.raises(ConfigurationError, match=f"no settings at {tmp_path}/hub.d/healthsync.yaml"):
        load_settings(tmp_path / "hub.d", environ={})


def test_a_file_that_is_not_text_is_named(tmp_path):
    (tmp_path / "healthsync.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read: it is not UTF-8 text"):
        load_settings(tmp_path, environ={})


def test_overrides_do_not_hide_a_block_that_is_none(write):
    with pytest.raises(InvalidSettings, match="a block with hub, compliance"):
        load_settings(write("healthsync: 5\n"), environ={"HEALTHSYNC_HUB__NAME": "x"})


@pytest.mark.shows("hub.name")
def test_the_environment_outranks_the_file(write):
    folder = write("healthsync:\n  hub: {name: from file}\n")
    environ = {
        "HEALTHSYNC_HUB__NAME": "from environment",
        "HEALTHSYNC_HTTP__PORT": "9000",
        "HEALTHSYNC_DEVELOPMENT": "true",
    }
    settings = load_settings(folder, environ=environ)
    assert (settings.hub.name, settings.http.port, settings.development) == ("from environment", 9000, True)


def test_a_misspelt_variable_is_a_fault_and_one_of_the_client_is_not(write):
    folder = write("healthsync: {}\n")
    assert load_settings(folder, environ={"HEALTHSYNC_API_KEY": "secret", "HEALTHSYNC_DATA": "/x"})
    with pytest.raises(InvalidSettings, match="environment HEALTHSYNC_HTP__PORT: htp: unknown key; did you mean http"):
        load_settings(folder, environ={"HEALTHSYNC_HTP__PORT": "1"})


@pytest.mark.shows("http.host", "http.port", "hl7.mllp.host", "hl7.mllp.port")
def test_a_command_line_option_outranks_file_and_environment(write):
    folder = write("healthsync:\n  http: {port: 1}\n  hl7: {mllp: {host: 10.0.0.1}}\n")
    overrides = {"http.host": "0.0.0.0", "http.port": 3, "hl7.mllp.host": "::1", "hl7.mllp.port": 0}
    settings = load_settings(folder, environ={"HEALTHSYNC_HTTP__PORT": "2"}, overrides=overrides)
    assert (settings.http.host, settings.http.port) == ("0.0.0.0", 3)
    assert (settings.mllp.host, settings.mllp.port) == ("::1", 0)


@pytest.mark.shows("database.url")
def test_a_secret_can_come_from_the_environment(write):
    folder = write("healthsync:\n  database: {url: 'postgresql://hub:${DB_PASSWORD}@db/hub'}\n")
    assert load_settings(folder, environ={"DB_PASSWORD": "s3"}).database.url == "postgresql://hub:s3@db/hub"
    with pytest.raises(InvalidSettings, match="the environment variable DB_PASSWORD is not set"):
        load_settings(folder, environ={})


def test_a_country_is_two_capital_letters(write):
    for block in ("country: USA", "by_source: {lab: {country: austria}}"):
        with pytest.raises(InvalidSettings, match="is no country code; write two capital letters such as US"):
            load_settings(write(f"healthsync:\n  normalisation: {{{block}}}\n"), environ={})


@pytest.mark.shows("http.tls.certificate", "http.tls.key", "hl7.processing_path", "audit.heads_path")
def test_paths_start_at_the_file(write):
    folder = write(
        "healthsync:\n  http: {tls: {certificate: a.crt, key: /k}}\n  hl7: {processing_path: maps/ours.yaml}\n"
    )
    settings = load_settings(folder, environ={})
    assert settings.http.tls.certificate == folder / "a.crt"
    assert settings.http.tls.key == Path("/k")
    assert settings.hl7.processing_path == folder / "maps" / "ours.yaml"
    assert settings.audit.heads_path == folder / "audit" / "heads"
    assert settings.keyring_path == folder / "keys" / "keyring.json"


@pytest.mark.shows(
    "hl7.mllp.tls",
    "hl7.mllp.tls.enabled",
    "hl7.mllp.tls.certificate",
    "hl7.mllp.tls.key",
    "hl7.mllp.tls.client_ca",
)
def test_tls_is_a_switch_or_a_block(write):
    def tls(text: str):
        return load_settings(write(f"healthsync:\n  hl7: {{mllp: {{tls: {text}}}}}\n"), environ={}).mllp.tls

    assert tls("true").enabled and tls("true").certificate.name == "server.crt" and tls("true").key.is_absolute()
    assert not tls("false").enabled
    assert tls("{client_ca: ca.pem}").enabled and tls("{client_ca: ca.pem}").client_ca.name == "ca.pem"
    assert not tls("{enabled: false}").enabled


@pytest.mark.shows("hl7.mllp.tls.require_client_certificate")
def test_asking_for_client_certificates_needs_an_authority(write):
    with pytest.raises(InvalidSettings, match="require_client_certificate: needs client_ca"):
        load_settings(write("healthsync:\n  hl7: {mllp: {tls: {require_client_certificate: true}}}\n"), environ={})


@pytest.mark.shows("fhir.base_url")
@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("https://fhir.hospital.org/api", "/api"),
        ("https://fhir.hospital.org/", "/fhir"),
        ("/r4/fhir/", "/r4/fhir"),
        ("http://localhost:8080", "/fhir"),
    ],
)
def test_the_path_of_the_public_address_is_where_fhir_is_served(write, address, path):
    assert load_settings(write(f"healthsync:\n  fhir: {{base_url: '{address}'}}\n"), environ={}).fhir.base_path == path


@pytest.mark.shows("compliance.hipaa.enabled", "compliance.hipaa.audit.enabled", "compliance.hipaa.audit.tamper_proof")
@pytest.mark.parametrize("switch", ["{enabled: false}", "{audit: {enabled: false}}", "{audit: {tamper_proof: false}}"])
def test_audit_and_hipaa_cannot_be_switched_off_by_accident(write, switch):
    folder = write(f"healthsync:\n  development: true\n  compliance: {{hipaa: {switch}}}\n")
    with pytest.raises(InvalidSettings, match="--insecure-development"):
        load_settings(folder, environ={})
    assert load_settings(folder, environ={}, insecure_development=True)


def test_a_hub_without_its_safeguards_warns(write):
    folder = write("healthsync:\n  compliance: {hipaa: {audit: {enabled: false}}}\n")
    assert "INSECURE" in warnings_of(load_settings(folder, environ={}, insecure_development=True))[0]


@pytest.mark.shows("compliance.hipaa.encryption.key_provider")
def test_a_hub_does_not_start_with_a_key_provider_that_it_cannot_use(write):
    folder = write("healthsync:\n  compliance: {hipaa: {encryption: {key_provider: hsm}}}\n")
    settings = load_settings(folder, environ={})
    with pytest.raises(ConfigurationError, match="key_provider: “hsm” is not built yet; set it to local"):
        require_startable(settings)
    require_startable(load_settings(write("healthsync: {}\n"), environ={}))


@pytest.mark.shows("development")
def test_a_development_hub_warns_at_every_start(write):
    assert warnings_of(load_settings(write("healthsync: {}\n"), environ={})) == []
    (warning,) = warnings_of(load_settings(write("healthsync: {development: true}\n"), environ={}))
    assert "never for real patients" in warning


@pytest.mark.shows("http.tls")
def test_patient_data_over_plain_http_is_warned_about(write):
    plain = load_settings(write("healthsync: {http: {host: 0.0.0.0}}\n"), environ={})
    assert warnings_of(plain) == ["plain HTTP on 0.0.0.0: put a TLS proxy in front or set http.tls"]
    sealed = load_settings(write("healthsync: {http: {host: 0.0.0.0, tls: {certificate: c, key: k}}}\n"), environ={})
    assert warnings_of(sealed) == []


@pytest.mark.shows(
    "authentication.jwt",
    "authentication.jwt.issuer",
    "authentication.jwt.audience",
    "authentication.jwt.jwks_path",
    "authentication.jwt.algorithms",
)
def test_a_token_issuer_is_described_in_one_block(write):
    text = "healthsync: {authentication: {jwt: {issuer: https://idp, audience: hub, jwks_path: idp.json}}}\n"
    folder = write(text)
    jwt = load_settings(folder, environ={}).authentication.jwt
    assert (jwt.issuer, jwt.audience, jwt.jwks_path) == ("https://idp", "hub", folder / "idp.json")
    assert jwt.algorithms == ("RS256", "ES384")
    assert load_settings(write("healthsync: {}\n"), environ={}).authentication.jwt is None
    with pytest.raises(InvalidSettings, match="“none” is not one of RS256"):
        load_settings(write(text.replace("idp.json", "idp.json, algorithms: [none]")), environ={})


@pytest.mark.shows("worker.processes")
def test_the_number_of_workers_follows_the_machine_unless_said(write):
    assert load_settings(write("healthsync: {}\n"), environ={}).worker.process_count >= 1
    assert load_settings(write("healthsync: {worker: {processes: 3}}\n"), environ={}).worker.process_count == 3
    with pytest.raises(InvalidSettings, match=r"worker\.processes: .*auto"):
        load_settings(write("healthsync: {worker: {processes: lots}}\n"), environ={})


def test_settings_are_frozen(write):
    settings = load_settings(write("healthsync: {}\n"), environ={})
    with pytest.raises(AttributeError):
        settings.http.port = 1


def test_a_block_that_is_still_to_come_is_named_once():
    written = {"clinical_rules.alert_channels": (), "clinical_rules.alert_channels[0].type": "hl7"}
    assert list(later_keys(Settings, written)) == ["clinical_rules.alert_channels"]


@pytest.mark.parametrize("key", [key for key, _, _ in walk(Settings)])
def test_every_setting_has_a_sentence(key):
    effect = next(entry.metadata["effect"] for name, _, entry in walk(Settings) if name == key)
    assert effect.endswith(".") and len(effect) > 10
