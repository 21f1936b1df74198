"""`healthsync init DIR`: the data folder of a new hub."""

from __future__ import annotations

import ipaddress
import os
import uuid
from datetime import timedelta
from pathlib import Path

import click
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from healthsync.entrypoints.cli.options import echo_json, json_option
from healthsync.errors import ConfigurationError
from healthsync.infrastructure.clock import SystemClock
from healthsync.infrastructure.crypto import LocalKeyring
from healthsync.settings import FILE_NAME
from healthsync.settings.template import render

KEYRING = Path("keys", "keyring.json")
CERTIFICATE_DAYS = 397
"""The longest life that browsers and the CA/Browser Forum accept for a server certificate."""


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", default="HealthSync", show_default=True, help="The name people see, and MSH-3 of answers.")
@click.option(
    "--development",
    is_flag=True,
    help="For a laptop: partners on this machine are admitted unasked, no TLS there. Never for real patients.",
)
@json_option
def command(folder: Path, name: str, development: bool, as_json: bool) -> None:
    """Make the data folder DIR of a new hub: commented settings, new keys (mode 0600), a first TLS certificate.

    Nothing that exists is overwritten. Keep a copy of keys/keyring.json in another place: without it the data of this
    hub cannot be read by anyone.
    """
    hub_id = make_data_folder(folder, name, development=development)
    _report(folder, folder / FILE_NAME, folder / KEYRING, hub_id, development, as_json)


def make_data_folder(folder: Path, name: str, *, development: bool) -> str:
    """Write settings, keys and, unless for development, a certificate; returns the id of the new hub.

    Raises ConfigurationError rather than overwrite anything.
    """
    settings_file, keyring_file = folder / FILE_NAME, folder / KEYRING
    for file in (settings_file, keyring_file):
        if file.exists():
            raise ConfigurationError(f"{file} exists and is never overwritten; choose another folder or move it away")
    hub_id = str(uuid.uuid4())
    folder.mkdir(parents=True, exist_ok=True)
    LocalKeyring.create(keyring_file, hub_id)
    if not development:
        _write_certificate(folder / "tls", name)
    values = {"hub.id": hub_id, "hub.name": name, "hl7.mllp.tls": not development, "development": development}
    _write_private(settings_file, render(values).encode())
    return hub_id


def _report(folder: Path, settings: Path, keyring: Path, hub_id: str, development: bool, as_json: bool) -> None:
    serve = f"healthsync serve --data {folder}"
    if as_json:
        echo_json(
            {
                "data": str(folder),
                "settings": str(settings),
                "keyring": str(keyring),
                "hub_id": hub_id,
                "development": development,
                "next": serve,
            }
        )
        return
    click.echo(f"settings   {settings}\nkeys       {keyring}   (keep a copy elsewhere)\nhub        {hub_id}")
    if development:
        click.echo("development is on: for a laptop, never for real patients")
    else:
        click.echo(f"TLS        {folder / 'tls'}   (self-signed; put your authority's certificate in its place)")
    click.echo(f"next       {serve}")


def _write_certificate(folder: Path, name: str) -> None:
    """A self-signed certificate, so that the first start speaks TLS; an operator replaces it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = SystemClock().now()
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    _write_private(folder / "server.key", key.private_bytes(encoding, pkcs8, serialization.NoEncryption()))
    _write_private(folder / "server.crt", certificate.public_bytes(encoding))


def _write_private(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
