"""Keys in a file: only for their owner, never overwritten, and rotated without touching what they protect."""

from __future__ import annotations

import json
import os

import pytest

from healthsync.errors import ConfigurationError
from healthsync.infrastructure.crypto import InsecureDevelopmentKeyring, LocalKeyring


def test_created_keys_are_for_the_owner_only_and_load_again(tmp_path):
    path = tmp_path / "keys" / "keyring.json"
    created = LocalKeyring.create(path, "hub-1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]
    loaded = LocalKeyring.load(path)
    assert loaded.hub_id == "hub-1"
    assert loaded.derive("x") == created.derive("x")
    assert loaded.unwrap(*created.wrap(b"k" * 32)) == b"k" * 32


def test_keys_are_never_overwritten(tmp_path):
    path = tmp_path / "keyring.json"
    LocalKeyring.create(path, "hub-1")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        LocalKeyring.create(path, "hub-1")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_may_touch_is_refused_with_the_command_that_helps(tmp_path, mode):
    path = tmp_path / "keyring.json"
    LocalKeyring.create(path, "hub-1")
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        LocalKeyring.load(path)


def test_missing_keys_name_the_command_that_makes_them(tmp_path):
    with pytest.raises(ConfigurationError, match=f"healthsync init {tmp_path}$"):
        LocalKeyring.load(tmp_path / "keys" / "keyring.json")


def test_a_file_of_another_user_says_so(tmp_path, monkeypatch):
    path = tmp_path / "keyring.json"
    LocalKeyring.create(path, "hub-1")

    def denied(*_arguments, **_options):
        raise PermissionError

    monkeypatch.setattr(type(path), "read_text", denied)  # root may read everything, so the kernel cannot say no here
    with pytest.raises(ConfigurationError, match="cannot be read by this user"):
        LocalKeyring.load(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"hub_id":"h","root":"AAAA","kek":{"1":"AAAA"}}', '{"hub_id":"h","root":"?","kek":{"1":"?"}}',
     '{"hub_id":"h","root":null,"kek":{}}', '{"hub_id":"h","root":"' + "A" * 43 + '=","kek":[]}',
     '{"hub_id":"h","root":"' + "A" * 43 + '=","kek":{}}'],
)  # fmt: skip
def test_a_damaged_file_is_refused_without_showing_what_it_holds(tmp_path, text):
    path = tmp_path / "keyring.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="is not a keyring file") as caught:
        LocalKeyring.load(path)
    assert caught.value.__cause__ is None


def test_after_a_rotation_new_keys_are_wrapped_anew_and_old_ones_still_unwrap(tmp_path):
    path = tmp_path / "keyring.json"
    keyring = LocalKeyring.create(path, "hub-1")
    version, wrapped = keyring.wrap(b"k" * 32)
    rotated = keyring.rotate(path)
    assert (version, rotated.current_version) == (1, 2)
    for now in (rotated, LocalKeyring.load(path)):
        assert now.unwrap(version, wrapped) == b"k" * 32
        assert now.wrap(b"k" * 32)[0] == 2
        assert now.derive("x") == keyring.derive("x")
    with pytest.raises(ConfigurationError, match="does not unwrap"):
        keyring.unwrap(*rotated.wrap(b"k" * 32))
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_wrapped_key_that_was_changed_or_is_of_another_keyring_does_not_unwrap(tmp_path):
    keyring = LocalKeyring.create(tmp_path / "a", "hub-1")
    version, wrapped = keyring.wrap(b"k" * 32)
    other = LocalKeyring.create(tmp_path / "b", "hub-1")
    for provider, bytes_ in ((keyring, wrapped[:-1] + bytes([wrapped[-1] ^ 1])), (other, wrapped), (keyring, b"short")):
        with pytest.raises(ConfigurationError, match="does not unwrap"):
            provider.unwrap(version, bytes_)


def test_derived_keys_differ_by_purpose_by_hub_and_by_root(tmp_path):
    path = tmp_path / "keyring.json"
    keyring = LocalKeyring.create(path, "hub-1")
    document = json.loads(path.read_text()) | {"hub_id": "hub-2"}
    path.write_text(json.dumps(document))
    keys = {
        keyring.derive("audit"), keyring.derive("blind index"), LocalKeyring.load(path).derive("audit"),
        LocalKeyring.create(tmp_path / "other", "hub-1").derive("audit"),
    }  # fmt: skip
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}


def test_the_insecure_keyring_is_the_same_everywhere_and_warns(capsys):
    assert InsecureDevelopmentKeyring().derive("x") == InsecureDevelopmentKeyring().derive("x")
    assert "keys that everyone knows are in use" in capsys.readouterr().err


def test_new_keys_come_from_the_system_and_differ(tmp_path):
    contents = {LocalKeyring.create(tmp_path / str(n), "hub").derive("x") for n in range(5)}
    assert len(contents) == 5
    assert os.urandom(32) not in contents
