import json
import stat

import pytest
from click.testing import CliRunner
from cryptography import x509

from healthsync.entrypoints.cli import main
from healthsync.infrastructure.crypto import LocalKeyring
from healthsync.settings import Settings, load_settings, read_settings, require_startable, warnings_of
from healthsync.settings.reading import walk
from healthsync.settings.template import render


def init(folder, *options: str):
    return CliRunner().invoke(main, ["init", str(folder), *options])


@pytest.mark.shows("hub.id", "compliance.hipaa.encryption.keyring_path")
def test_a_new_hub_has_one_id_in_its_settings_and_its_keyring(tmp_path):
    answer = json.loads(init(tmp_path / "hub", "--json").stdout)
    settings = load_settings(tmp_path / "hub", environ={})
    assert settings.hub.id == answer["hub_id"] == LocalKeyring.load(settings.keyring_path).hub_id
    require_startable(settings)


def test_two_hubs_have_different_ids_and_keys(tmp_path):
    init(tmp_path / "a"), init(tmp_path / "b")
    rings = [LocalKeyring.load(tmp_path / name / "keys" / "keyring.json") for name in "ab"]
    assert rings[0].hub_id != rings[1].hub_id
    assert rings[0].derive("x") != rings[1].derive("x")


def test_keys_settings_and_certificate_are_readable_by_their_owner_only(tmp_path):
    init(tmp_path / "hub")
    files = [path for path in (tmp_path / "hub").rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"healthsync.yaml", "keyring.json", "server.crt", "server.key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert {stat.S_IMODE((tmp_path / "hub" / name).stat().st_mode) for name in ("keys", "tls")} == {0o700}


@pytest.mark.parametrize("existing", ["healthsync.yaml", "keys/keyring.json"])
def test_nothing_that_exists_is_overwritten(tmp_path, existing):
    file = tmp_path / existing
    file.parent.mkdir(exist_ok=True)
    file.write_text("precious")
    result = init(tmp_path)
    assert result.exit_code == 1
    assert "exists and is never overwritten" in result.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [file]
    assert file.read_text() == "precious"


def test_a_production_hub_speaks_tls_from_its_first_start_and_does_not_warn(tmp_path):
    init(tmp_path, "--name", "Mercy")
    settings = load_settings(tmp_path, environ={})
    certificate = x509.load_pem_x509_certificate(settings.mllp.tls.certificate.read_bytes())
    assert settings.mllp.tls.enabled and settings.mllp.tls.key.exists()
    assert "Mercy" in certificate.subject.rfc4514_string()
    assert settings.hub.name == "Mercy"
    assert warnings_of(settings) == []


def test_a_development_hub_has_no_tls_on_loopback_and_warns(tmp_path):
    result = init(tmp_path, "--development")
    settings = load_settings(tmp_path, environ={})
    assert settings.development and not settings.mllp.tls.enabled
    assert settings.mllp.host == settings.http.host == "127.0.0.1"
    assert "never for real patients" in result.output
    assert len(warnings_of(settings)) == 1


def test_the_written_file_shows_every_key_in_effect():
    shown = render({})
    for key, _, entry in walk(Settings):
        if (
            not entry.metadata["later"]
            and key not in {"mpi", "clinical_rules", "retention"}
            and not key.startswith("research")
        ):
            assert f"{key.rpartition('.')[2]}:" in shown, key


def test_uncommenting_every_default_changes_nothing(tmp_path):
    """The defaults that the file shows are the defaults that the hub has."""
    shown = render({})
    lines = [line.replace("#", "", 1) if line.strip().startswith("#") and not line.strip().startswith("# ") else line for line in shown.splitlines()]  # fmt: skip
    text = "\n".join(lines)
    for optional in ("jwt", "email", "tls:\n      # PEM"):  # blocks that have no default: they stay commented
        start = text.index(
            f"    {optional}"
            if optional in ("jwt", "email")
            else "    tls:\n      # PEM file of the certificate and its chain.\n      certificate:\n"
        )
        end = text.index("\n\n", start)
        text = text[:start] + text[end:]
    (tmp_path / "healthsync.yaml").write_text(text)
    loaded = read_settings(tmp_path, environ={})
    (tmp_path / "healthsync.yaml").write_text("healthsync: {}\n")
    assert loaded.settings == load_settings(tmp_path, environ={})
    assert len(loaded.written) > 40
