"""Settings → Hub: the only file that names concrete classes. What a `Hub` offers are flows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from healthsync.domains.access import AccessService, KeySetFile, RolePolicy, TokenVerifier
from healthsync.domains.audit import AuditService
from healthsync.domains.consent import ConsentPolicy, ConsentService
from healthsync.domains.directory import DirectoryService
from healthsync.domains.identity import IdentityService
from healthsync.domains.messages import MessageService, RetryPolicy
from healthsync.domains.privacy import DataKeys, SealingPolicy
from healthsync.domains.records import RecordIndex, RecordsService
from healthsync.errors import ConfigurationError
from healthsync.exchange.administration.register_client import RegisterClient
from healthsync.exchange.administration.show_audit import ShowAudit
from healthsync.exchange.authenticate import Authenticate
from healthsync.exchange.disclose import Disclose
from healthsync.exchange.ingest import Ingest
from healthsync.exchange.interactions.bundle import ProcessBundle
from healthsync.exchange.interactions.write import Write
from healthsync.exchange.process_message import ProcessMessage
from healthsync.exchange.receive_message import HubIdentity, ReceiveMessage
from healthsync.exchange.vault import Vault
from healthsync.infrastructure.clock import Clock, SystemClock
from healthsync.infrastructure.crypto import BlindIndex, LocalKeyring
from healthsync.infrastructure.database import Database, migrate
from healthsync.infrastructure.database.embedded import running
from healthsync.infrastructure.events import EventLog
from healthsync.settings import Settings, load_settings
from healthsync.standards.logical_tables import LogicalTables
from healthsync.standards.maps import OperatorMapping, load_operator_mapping


@dataclass(frozen=True, slots=True)
class Hub:
    """A hub that is open: its parts by the name of what they do."""

    settings: Settings
    clock: Clock
    keyring: LocalKeyring
    database: Database
    data_keys: DataKeys
    audit: AuditService
    events: EventLog
    messages: MessageService
    directory: DirectoryService
    access: AccessService
    identity: IdentityService
    consent: ConsentService
    ingest: Ingest
    disclose: Disclose
    authenticate: Authenticate
    register_client: RegisterClient
    show_audit: ShowAudit
    write: Write
    process_bundle: ProcessBundle
    receive_message: ReceiveMessage
    process_message: ProcessMessage

    async def close(self) -> None:
        """Wait for the commits under way."""
        await self.receive_message.close()
        await self.audit.close()


@asynccontextmanager
async def open_hub(
    data_folder: Path,
    database_url: str | None = None,
    *,
    settings: Settings | None = None,
    clock: Clock | None = None,
    owner: str = "command",
) -> AsyncIterator[Hub]:
    """Open the hub of a data folder; works beside one that runs there already.

    Without a database address (argument, settings) the hub's own PostgreSQL is joined, or started until the end of the
    block. Raises ConfigurationError for settings or keys that do not hold, Unavailable without a database.
    """
    loaded = settings or load_settings(data_folder)
    keyring = LocalKeyring.load(loaded.compliance.hipaa.encryption.keyring_path)
    if loaded.hub.id is not None and loaded.hub.id != keyring.hub_id:
        raise ConfigurationError(
            f"hub.id is {loaded.hub.id}, but the keyring belongs to hub {keyring.hub_id}; restore the right keyring"
        )
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(running(data_folder, database_url or loaded.database.url, owner=owner))
        database = await Database.connect(
            url,
            max_size=loaded.database.pool_size,
            statement_timeout_seconds=loaded.database.statement_timeout_seconds,
        )
        stack.push_async_callback(database.close)
        await migrate(database)
        hub = build_hub(loaded, keyring, database, clock or SystemClock())
        stack.push_async_callback(hub.close)
        yield hub


def build_hub(settings: Settings, keyring: LocalKeyring, database: Database, clock: Clock) -> Hub:
    """Put the parts together."""
    blind_index = BlindIndex(keyring.derive("blind index"))
    data_keys = DataKeys(keyring)
    vault = Vault(data_keys, SealingPolicy.load(), keyring.hub_id)
    roles = RolePolicy.load()
    audit = AuditService(
        database,
        clock,
        query_key=keyring.derive("audit query"),
        signing_key=keyring.derive("audit signature"),
        hub_id=keyring.hub_id,
        heads_file=settings.audit.heads_path / "heads.jsonl",
    )
    events = EventLog(database, clock)
    messages = MessageService(blind_index, keyring.hub_id)
    directory = DirectoryService(clock)
    identity = IdentityService(blind_index, clock)
    consent = ConsentService(clock, ConsentPolicy(settings.consent.policy))
    records = RecordsService(RecordIndex(blind_index))
    access = AccessService(clock, roles, _token_verifier(settings, clock))
    ingest = Ingest(
        vault=vault,
        records=records,
        identity=identity,
        consent=consent,
        audit=audit,
        events=events,
        blind_index=blind_index,
        clock=clock,
    )
    disclose = Disclose(
        database=database,
        vault=vault,
        records=records,
        identity=identity,
        consent=consent,
        audit=audit,
        roles=roles,
        clock=clock,
    )
    write = Write(database=database, ingest=ingest, disclose=disclose, audit=audit, roles=roles)
    receive_message = ReceiveMessage(
        database=database,
        messages=messages,
        directory=directory,
        data_keys=data_keys,
        audit=audit,
        events=events,
        clock=clock,
        hub=HubIdentity(settings.hub.name, settings.hub.facility),
        ack_mode=settings.hl7.ack_mode,
        development=settings.development,
    )
    process_message = ProcessMessage(
        database=database,
        messages=messages,
        data_keys=data_keys,
        ingest=ingest,
        clock=clock,
        timezone=settings.hub.time_zone.zone,
        operator=_operator_mapping(settings),
        character_encoding=settings.hl7.character_encoding,
        directory=directory,
        retry=RetryPolicy(
            settings.worker.max_attempts, settings.worker.backoff_seconds, settings.worker.backoff_max_seconds
        ),
    )
    return Hub(
        settings=settings,
        clock=clock,
        keyring=keyring,
        database=database,
        data_keys=data_keys,
        audit=audit,
        events=events,
        messages=messages,
        directory=directory,
        access=access,
        identity=identity,
        consent=consent,
        ingest=ingest,
        disclose=disclose,
        authenticate=Authenticate(database, access, audit),
        register_client=RegisterClient(database, access, audit),
        show_audit=ShowAudit(database, audit, roles),
        write=write,
        process_bundle=ProcessBundle(database, write, disclose, settings.fhir.base_url.rstrip("/")),
        receive_message=receive_message,
        process_message=process_message,
    )


def _operator_mapping(settings: Settings) -> OperatorMapping | None:
    path = settings.hl7.processing_path
    if path is None:
        return None
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        raise ConfigurationError(f"hl7.processing_path: {path} cannot be read; try: healthsync config check") from None
    return load_operator_mapping(document, LogicalTables.load())


def _token_verifier(settings: Settings, clock: Clock) -> TokenVerifier | None:
    jwt = settings.authentication.jwt
    if jwt is None:
        return None
    return TokenVerifier(
        issuer=jwt.issuer,
        audience=jwt.audience,
        keys=KeySetFile(jwt.jwks_path),
        clock=clock,
        algorithms=jwt.algorithms,
    )
