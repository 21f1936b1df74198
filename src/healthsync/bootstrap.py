"""Settings → Hub: the only file that names concrete classes. What a `Hub` offers are flows.

One file, though a long one: who is given what is answered here and nowhere else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from healthsync.connectors.https_lines import HttpsLines
from healthsync.connectors.mllp_links import Where, open_link
from healthsync.connectors.rest_hook import RestHooks
from healthsync.connectors.smtp import Mailer, MailServer
from healthsync.domains.access import AccessService, KeySetFile, RolePolicy, TokenVerifier
from healthsync.domains.alerts import AlertService
from healthsync.domains.audit import AuditService
from healthsync.domains.conformance import ConformanceService
from healthsync.domains.consent import ConsentPolicy, ConsentService
from healthsync.domains.deliveries import DeliveryService, Destination, Triggers
from healthsync.domains.directory import DirectoryService
from healthsync.domains.enrichment import EnrichmentTables
from healthsync.domains.identity import (
    Block,
    ByRules,
    ByWeights,
    Decider,
    IdentityService,
    NamedRules,
    ReviewService,
    ReviewTerms,
    Survivorship,
    checked,
    load_named_rules,
    load_rules,
    points_of,
    shipped_named_rules,
    shipped_points,
    shipped_rules,
    shipped_weights,
)
from healthsync.domains.messages import MessageService
from healthsync.domains.privacy import DataKeys, SealingPolicy
from healthsync.domains.quality import Bands, QualityService, load_rubric
from healthsync.domains.records import RecordIndex, RecordsService
from healthsync.domains.search_parameters import SearchParameterService
from healthsync.domains.streams import RetryTerms, StreamService
from healthsync.domains.subscriptions import Rules, SubscriptionService, TellingPolicy, Topics
from healthsync.domains.terminology import TerminologyService
from healthsync.errors import ConfigurationError
from healthsync.exchange.administration.edit_message import EditMessage
from healthsync.exchange.administration.escalate_reviews import EscalateReviews
from healthsync.exchange.administration.inspect_messages import InspectMessages
from healthsync.exchange.administration.keep_raw import KeepRaw
from healthsync.exchange.administration.learn_identity import KIND as LEARN
from healthsync.exchange.administration.learn_identity import LearnIdentity
from healthsync.exchange.administration.manage_codes import ManageCodes
from healthsync.exchange.administration.manage_destinations import ManageDestinations
from healthsync.exchange.administration.merge_patients import MergePatients
from healthsync.exchange.administration.operators import Operators
from healthsync.exchange.administration.rebuild_index import rebuild_index
from healthsync.exchange.administration.register_client import RegisterClient
from healthsync.exchange.administration.rematch_patients import KIND as REMATCH
from healthsync.exchange.administration.rematch_patients import RematchPatients
from healthsync.exchange.administration.replay_messages import KIND as REPLAY
from healthsync.exchange.administration.replay_messages import ReplayMessages
from healthsync.exchange.administration.report_identity import ReportIdentity
from healthsync.exchange.administration.report_quality import ReportQuality
from healthsync.exchange.administration.show_audit import ShowAudit
from healthsync.exchange.administration.steward_identity import StewardIdentity
from healthsync.exchange.answer_query import AnswerQuery
from healthsync.exchange.applications.alerts import Alerts
from healthsync.exchange.applications.answers import ApplicationAnswers
from healthsync.exchange.applications.audit_notes import NoteUse
from healthsync.exchange.applications.contents import OpenContents
from healthsync.exchange.applications.deliveries import Deliveries
from healthsync.exchange.applications.fan_out import FanOut
from healthsync.exchange.applications.publications import Publications
from healthsync.exchange.authenticate import Authenticate
from healthsync.exchange.conformity import Conformity
from healthsync.exchange.deliver_messages import DeliverMessages
from healthsync.exchange.disclose import Disclose
from healthsync.exchange.events import EventName
from healthsync.exchange.ingest import Ingest
from healthsync.exchange.interactions.bundle import ProcessBundle
from healthsync.exchange.interactions.rehearsal import Rehearsal
from healthsync.exchange.interactions.write import Write
from healthsync.exchange.interoperate import Interoperate
from healthsync.exchange.normal_forms import ConventionsOf
from healthsync.exchange.notify_subscribers import NotifySubscribers
from healthsync.exchange.offer import Offer
from healthsync.exchange.operations.bulk_export import KIND as EXPORT
from healthsync.exchange.operations.bulk_export import BulkExport, ExportLimits
from healthsync.exchange.operations.bulk_import import KIND as IMPORT
from healthsync.exchange.operations.bulk_import import OPERATOR_KIND, BulkImport, ImportSources
from healthsync.exchange.operations.graphql import Graphql
from healthsync.exchange.operations.jobs import Handler, Jobs
from healthsync.exchange.operations.reindex import KIND as REINDEX
from healthsync.exchange.operations.reindex import Reindex
from healthsync.exchange.operations.subscription_operations import SubscriptionOperations
from healthsync.exchange.operations.terminology import TerminologyOperations
from healthsync.exchange.operations.validate import Validate
from healthsync.exchange.own_parameters import OwnParameters
from healthsync.exchange.ports import MessageLink
from healthsync.exchange.process_message import ProcessMessage
from healthsync.exchange.receive_message import HubIdentity, ReceiveMessage
from healthsync.exchange.reference_policy import ReferenceIntegrity, ReferencePolicy
from healthsync.exchange.send_message import Sender, SendMessage
from healthsync.exchange.standardise import Standardise
from healthsync.exchange.subscribing import Subscribing
from healthsync.exchange.vault import Vault
from healthsync.infrastructure.clock import Clock, SystemClock
from healthsync.infrastructure.crypto import BlindIndex, LocalKeyring
from healthsync.infrastructure.database import Database, migrate
from healthsync.infrastructure.database.embedded import running
from healthsync.infrastructure.events import EventLog
from healthsync.infrastructure.jobs import DeliverNotices, JobTable
from healthsync.infrastructure.objects import objects_at
from healthsync.infrastructure.retrying import RetryPolicy
from healthsync.infrastructure.telemetry import logger
from healthsync.settings import Settings, load_settings
from healthsync.settings.checking import read_document
from healthsync.settings.documents.authorities import AuthoritiesDocument
from healthsync.settings.documents.enrichment import load_enrichment
from healthsync.settings.documents.patient_matching import PatientMatchingDocument
from healthsync.settings.documents.validation_rules import ValidationRulesDocument
from healthsync.settings.tree import Normalisation, SourceNormalisation
from healthsync.standards.authorities import NO_AUTHORITIES, Authorities
from healthsync.standards.fhir.graphql import Bounds as GraphqlBounds
from healthsync.standards.logical_tables import LogicalTables
from healthsync.standards.maps import OperatorMapping, load_operator_mapping
from healthsync.standards.normalise import Conventions, DateOrder

if TYPE_CHECKING:
    from healthsync.domains.identity.learning import LearnedModel

_log = logger(__name__)
_MODELS = "identity model"
"""What the key that proves learned models is for."""


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
    quality: QualityService
    directory: DirectoryService
    access: AccessService
    identity: IdentityService
    steward_identity: StewardIdentity
    report_identity: ReportIdentity
    rematch_patients: RematchPatients
    learn_identity: LearnIdentity
    escalate_reviews: EscalateReviews
    merge_patients: MergePatients
    consent: ConsentService
    terminology: TerminologyService
    terminology_operations: TerminologyOperations
    manage_codes: ManageCodes
    conformance: ConformanceService
    ingest: Ingest
    disclose: Disclose
    authenticate: Authenticate
    register_client: RegisterClient
    show_audit: ShowAudit
    report_quality: ReportQuality
    operators: Operators
    write: Write
    validate: Validate
    process_bundle: ProcessBundle
    receive_message: ReceiveMessage
    process_message: ProcessMessage
    send_message: SendMessage
    deliver_messages: DeliverMessages
    manage_destinations: ManageDestinations
    inspect_messages: InspectMessages
    edit_message: EditMessage
    replay_messages: ReplayMessages
    keep_raw: KeepRaw
    notify_subscribers: NotifySubscribers
    subscription_operations: SubscriptionOperations
    graphql: Graphql
    jobs: Jobs
    bulk_export: BulkExport
    bulk_import: BulkImport
    own_parameters: OwnParameters
    reindex: Reindex
    interoperate: Interoperate
    streams: StreamService
    fan_out: FanOut
    deliveries: Deliveries
    publications: Publications
    alerts: Alerts
    note_use: NoteUse
    application_answers: ApplicationAnswers

    async def close(self) -> None:
        """Wait for the commits under way."""
        await self.deliveries.close()
        await self.jobs.close()
        await self.notify_subscribers.close()
        await self.receive_message.close()


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
        learned = await _learned(loaded, keyring, database) if loaded.mpi.learned.enabled else None
        hub = build_hub(loaded, keyring, database, clock or SystemClock(), learned)
        stack.push_async_callback(hub.close)
        await rebuild_index(database, hub.ingest)
        yield hub


async def _learned(settings: Settings, keyring: LocalKeyring, database: Database) -> LearnedModel | None:
    """The learned model that was chosen to decide. None, and the weights decide alone, where none was, or where it is
    not as this hub wrote it or learned from other levels or weights."""
    from healthsync.domains.identity.learning.service import LearningService

    learning = LearningService(keyring.derive(_MODELS), shipped_weights(), SystemClock())
    async with database.connection() as tx:
        active = await learning.active(tx)
    if active is None or active.fault:
        _log.warning("no learned model decides", reason="unusable" if active else "none chosen")
        return None
    return active.model


def build_hub(
    settings: Settings, keyring: LocalKeyring, database: Database, clock: Clock, learned: LearnedModel | None = None
) -> Hub:
    """Put the parts together. `learned` is the model that decides where the weights doubt."""
    blind_index = BlindIndex(keyring.derive("blind index"))
    data_keys = DataKeys(keyring)
    kept_bytes = settings.fhir.opened_megabytes * 1_000_000
    vault = Vault(data_keys, SealingPolicy.load(), keyring.hub_id, kept_bytes)
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
    quality = _quality(settings, clock)
    directory = DirectoryService(clock)
    authorities = _authorities(settings)
    deciding, own_keys = _deciding(settings, learned)
    identity = IdentityService(blind_index, clock, _survivorship(settings), deciding, own_keys, authorities)
    reviews = ReviewService(identity, blind_index, clock, _review_terms(settings))
    consent = ConsentService(clock, ConsentPolicy(settings.consent.policy))
    records = RecordsService(RecordIndex(blind_index, settings.fhir.base_url))
    access = AccessService(clock, roles, _token_verifier(settings, clock))
    terminology = TerminologyService(clock)
    rules = _subscription_rules(settings)
    subscriptions = SubscriptionService(clock, keyring.derive("subscription"))
    topics = Topics.load(settings.subscriptions.topics_path, [name.value for name in EventName])
    conformance = ConformanceService(clock)
    conformity = Conformity(conformance, clock, settings.fhir.required_profiles or {}, settings.fhir.profile_validation)
    parameters = SearchParameterService()
    deliveries = DeliveryService(clock, blind_index, keyring.hub_id)
    triggers = Triggers.load(_processing_document(settings), LogicalTables.load())
    job_table = _job_table(settings, keyring, database, clock)
    own_parameters = OwnParameters(database, parameters, job_table, SealingPolicy.load())
    standardise = Standardise(database, terminology)
    ingest = Ingest(
        own_parameters=own_parameters,
        standardise=standardise if settings.fhir.standardise else None,
        conformity=conformity,
        vault=vault,
        records=records,
        identity=identity,
        reviews=reviews,
        consent=consent,
        audit=audit,
        events=events,
        blind_index=blind_index,
        clock=clock,
        terminology=terminology,
        subscribing=Subscribing(
            subscriptions,
            topics,
            rules,
            clock,
            settings.subscriptions.token_days,
            others_watch=lambda tx: deliveries.watched(tx, triggers),
        ),
    )
    disclose = Disclose(
        database=database,
        vault=vault,
        records=records,
        identity=identity,
        reviews=reviews,
        consent=consent,
        audit=audit,
        roles=roles,
        clock=clock,
        terminology=terminology,
        authorities=authorities,
    )
    write = Write(
        database=database,
        ingest=ingest,
        disclose=disclose,
        audit=audit,
        roles=roles,
        clock=clock,
        references=_reference_policy(settings),
        update_create=settings.fhir.update_create,
        delete_several=settings.fhir.conditional_delete == "multiple",
    )
    streams = StreamService(blind_index, clock, keyring.hub_id, _retry_terms(settings))
    application_answers = ApplicationAnswers(database, streams, data_keys)
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
        answers=application_answers,
        answer_query=AnswerQuery(
            disclose=disclose,
            audit=audit,
            clock=clock,
            pointer_key=keyring.derive("query pointer"),
            application=settings.hub.name,
            facility=settings.hub.facility,
            authorities=authorities,
        ),
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
        conventions=_conventions(settings),
        enrichment=_enrichment(settings, authorities),
        quality=quality,
        standardise=standardise,
        events=events,
        authorities=authorities,
    )
    alerts = AlertService(blind_index, clock, keyring.hub_id)
    send_message = SendMessage(
        database=database,
        deliveries=deliveries,
        disclose=disclose,
        events=events,
        data_keys=data_keys,
        clock=clock,
        triggers=triggers,
        sender=Sender(settings.hub.name, settings.hub.facility),
        authorities=authorities,
    )
    rematch_patients = RematchPatients(
        database=database, identity=identity, reviews=reviews, ingest=ingest, audit=audit, table=job_table
    )
    learn_identity = LearnIdentity(
        database=database,
        key=keyring.derive(_MODELS),
        deciding=deciding,
        link=settings.mpi.learned.auto_merge_threshold / 100,
        disclose=disclose,
        quality=quality,
        audit=audit,
        table=job_table,
        clock=clock,
    )
    replay_messages = ReplayMessages(
        database=database,
        messages=messages,
        reading=process_message,
        ingest=ingest,
        quality=quality,
        audit=audit,
        clock=clock,
        table=job_table,
    )
    reindex = Reindex(database=database, table=job_table, ingest=ingest, parameters=parameters)
    jobs, bulk_export, bulk_import = _long_work(
        settings,
        keyring,
        database,
        clock,
        ingest,
        disclose,
        audit,
        roles,
        job_table,
        {REINDEX: reindex, REPLAY: replay_messages, REMATCH: rematch_patients, LEARN: learn_identity},
    )
    operators = Operators(audit)
    steward_identity = StewardIdentity(
        database=database, identity=identity, reviews=reviews, ingest=ingest, disclose=disclose, audit=audit
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
        quality=quality,
        directory=directory,
        access=access,
        identity=identity,
        steward_identity=steward_identity,
        merge_patients=MergePatients(steward_identity, operators, write.prepare_update, disclose, audit),
        rematch_patients=rematch_patients,
        learn_identity=learn_identity,
        escalate_reviews=EscalateReviews(database=database, reviews=reviews, audit=audit, events=events),
        report_identity=ReportIdentity(database=database, reviews=reviews, disclose=disclose, audit=audit, clock=clock),
        consent=consent,
        terminology=terminology,
        terminology_operations=TerminologyOperations(database, terminology, clock),
        manage_codes=ManageCodes(database, terminology, audit),
        conformance=conformance,
        ingest=ingest,
        disclose=disclose,
        authenticate=Authenticate(database, access, audit, Offer.of(settings.fhir)),
        register_client=RegisterClient(database, access, audit),
        show_audit=ShowAudit(database, audit, roles),
        operators=operators,
        report_quality=ReportQuality(database=database, quality=quality, audit=audit, clock=clock),
        write=write,
        validate=Validate(database=database, conformity=conformity, rehearse=Rehearsal(write), audit=audit),
        process_bundle=ProcessBundle(write, Offer.of(settings.fhir), settings.fhir.bundle_entries),
        receive_message=receive_message,
        process_message=process_message,
        send_message=send_message,
        deliver_messages=DeliverMessages(
            database=database,
            deliveries=deliveries,
            disclose=disclose,
            audit=audit,
            data_keys=data_keys,
            clock=clock,
            open_link=_open_link,
            keep=timedelta(days=settings.deliveries.keep_days),
        ),
        manage_destinations=ManageDestinations(
            database=database,
            deliveries=deliveries,
            send_message=send_message,
            data_keys=data_keys,
            audit=audit,
            roles=roles,
        ),
        inspect_messages=InspectMessages(
            database=database, messages=messages, data_keys=data_keys, audit=audit, quality=quality
        ),
        edit_message=EditMessage(database=database, messages=messages, data_keys=data_keys, audit=audit, clock=clock),
        replay_messages=replay_messages,
        keep_raw=KeepRaw(
            database=database,
            messages=messages,
            data_keys=data_keys,
            audit=audit,
            keyring=keyring,
            clock=clock,
            keep_days=settings.retention.raw_messages.days,
        ),
        notify_subscribers=NotifySubscribers(
            database=database,
            subscriptions=subscriptions,
            disclose=disclose,
            ingest=ingest,
            access=access,
            events=events,
            clock=clock,
            hooks=RestHooks(rules.allows),
            mail=_mailer(settings),
            policy=TellingPolicy(
                settings.subscriptions.max_attempts,
                settings.subscriptions.backoff_seconds,
                settings.subscriptions.backoff_max_seconds,
                settings.subscriptions.timeout_seconds,
                settings.subscriptions.max_waiting,
            ),
            base=settings.fhir.address,
        ),
        subscription_operations=SubscriptionOperations(
            database=database,
            subscriptions=subscriptions,
            disclose=disclose,
            clock=clock,
            topics=topics,
            base=settings.fhir.address,
            key=keyring.derive("websocket token"),
        ),
        graphql=Graphql(
            disclose,
            base=settings.fhir.address,
            key=keyring.derive("graphql cursor"),
            bounds=GraphqlBounds(settings.graphql.max_depth, settings.graphql.max_fields),
            max_reads=settings.graphql.max_reads,
        ),
        jobs=jobs,
        bulk_export=bulk_export,
        bulk_import=bulk_import,
        own_parameters=own_parameters,
        reindex=reindex,
        interoperate=Interoperate(
            disclose=disclose,
            ingest=ingest,
            write=write,
            audit=audit,
            clock=clock,
            application=settings.hub.name,
            facility=settings.hub.facility,
        ),
        streams=streams,
        fan_out=FanOut(database, events, streams, timedelta(days=settings.applications.keep_days)),
        deliveries=Deliveries(
            database=database,
            streams=streams,
            contents=OpenContents(messages, streams, alerts, data_keys),
            data_keys=data_keys,
            disclose=disclose,
            audit=audit,
        ),
        publications=Publications(
            database=database, streams=streams, data_keys=data_keys, disclose=disclose, audit=audit, events=events
        ),
        alerts=Alerts(
            database=database, alerts=alerts, data_keys=data_keys, disclose=disclose, audit=audit, events=events
        ),
        note_use=NoteUse(audit, roles),
        application_answers=application_answers,
    )


def _retry_terms(settings: Settings) -> RetryTerms:
    terms = settings.applications
    return RetryTerms(terms.max_attempts, terms.backoff_seconds, terms.backoff_max_seconds, terms.lease_seconds)


def _job_table(settings: Settings, keyring: LocalKeyring, database: Database, clock: Clock) -> JobTable:
    return JobTable(
        database,
        clock,
        keyring,
        lease=timedelta(seconds=settings.jobs.lease_seconds),
        keep=timedelta(hours=settings.jobs.keep_hours),
        webhook_hosts=frozenset(settings.jobs.webhook_hosts),
    )


def _long_work(
    settings: Settings,
    keyring: LocalKeyring,
    database: Database,
    clock: Clock,
    ingest: Ingest,
    disclose: Disclose,
    audit: AuditService,
    roles: RolePolicy,
    table: JobTable,
    others: Mapping[str, Handler],
) -> tuple[Jobs, BulkExport, BulkImport]:
    """The kinds of work that are done by the table of jobs, `others` among them."""
    bulk, webhook_hosts = settings.bulk_data, frozenset(settings.jobs.webhook_hosts)
    objects = objects_at(bulk.folder, bulk.bucket)
    bulk_export = BulkExport(
        database=database,
        table=table,
        objects=objects,
        disclose=disclose,
        audit=audit,
        roles=roles,
        offer=Offer.of(settings.fhir),
        limits=ExportLimits(bulk.file_bytes, bulk.gzip_level, bulk.max_running),
    )
    bulk_import = BulkImport(
        database=database,
        table=table,
        ingest=ingest,
        audit=audit,
        roles=roles,
        sources=ImportSources(bulk.import_folder, frozenset(bulk.import_hosts), bulk.max_running),
        remote=HttpsLines(),
        processes=bulk.import_process_count,
    )
    jobs = Jobs(
        database=database,
        table=table,
        objects=objects,
        audit=audit,
        disclose=disclose,
        roles=roles,
        handlers={EXPORT: bulk_export, IMPORT: bulk_import, OPERATOR_KIND: bulk_import, **others},
        elsewhere=(OPERATOR_KIND,),
        notices=DeliverNotices(
            table,
            clock,
            RestHooks(lambda host, port: host in webhook_hosts or f"{host}:{port}" in webhook_hosts),
            secret_root=keyring.derive("webhook signature"),
            hosts=webhook_hosts,
        ),
    )
    return jobs, bulk_export, bulk_import


def _review_terms(settings: Settings) -> ReviewTerms:
    review = settings.mpi.review
    return ReviewTerms(
        timedelta(hours=review.due_hours), timedelta(hours=review.overlay_due_hours), review.second_reader_share
    )


def _survivorship(settings: Settings) -> Survivorship:
    path = settings.mpi.survivorship_path
    try:
        rules = load_rules(path.read_text(encoding="utf-8")) if path else shipped_rules()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"mpi.survivorship_path cannot be read ({type(error).__name__})") from None
    return Survivorship(rules, settings.mpi.source_trust or {})


def _deciding(settings: Settings, learned: LearnedModel | None = None) -> tuple[Decider, Sequence[Block]]:
    """What decides where the rules of identity do not, and the block keys that a document adds."""
    mpi = settings.mpi
    rules = ByRules(_named_rules(mpi.named_rules))
    if mpi.algorithm == "deterministic":
        return rules, ()
    if mpi.profile == "statistical":
        weights = ByWeights(shipped_weights(), mpi.auto_merge_threshold / 100, mpi.review_threshold / 100, rules)
        return (weights if learned is None else _by_learned(settings, weights, learned)), ()
    if mpi.profile in shipped_points():
        return points_of(shipped_points()[mpi.profile]), ()
    document = read_document(Path(mpi.profile), PatientMatchingDocument).patient_matching
    tables = LogicalTables.load()

    def named(column: str) -> str:
        return tables.column("patients", column).name

    blocks = checked([[named(column) for column in block] for block in document.blocking_keys])
    if document.algorithm == "deterministic":
        return rules, blocks
    said = asdict(document)
    for each in said["scoring"]["fields"]:
        each["name"] = named(each["name"])
    return points_of(said), blocks


def _by_learned(settings: Settings, weights: ByWeights, model: LearnedModel) -> Decider:
    from healthsync.domains.identity.learning import ByLearned

    limits = settings.mpi.learned
    return ByLearned(
        weights,
        model,
        limits.certain_threshold / 100,
        limits.auto_merge_threshold / 100,
        limits.dismiss_threshold / 100,
    )


def _named_rules(named: str) -> NamedRules | None:
    if named in ("cms", "none"):
        return shipped_named_rules() if named == "cms" else None
    try:
        return load_named_rules(Path(named).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"mpi.named_rules cannot be read ({type(error).__name__})") from None


def _subscription_rules(settings: Settings) -> Rules:
    email = settings.subscriptions.email
    hosts = tuple(host.lower() for host in settings.subscriptions.allowed_hosts)
    return Rules(hosts, email=email is not None, email_payload=email is not None and email.payload)


def _mailer(settings: Settings) -> Mailer | None:
    email = settings.subscriptions.email
    if email is None:
        return None
    return Mailer(MailServer(email.host, email.port, email.security, email.sender, email.username, email.password_path))


def _reference_policy(settings: Settings) -> ReferencePolicy:
    by_type = (settings.fhir.reference_integrity_by_type or {}).items()
    return ReferencePolicy(
        ReferenceIntegrity(settings.fhir.reference_integrity),
        settings.fhir.address,
        {name: ReferenceIntegrity(mode) for name, mode in by_type},
    )


def _quality(settings: Settings, clock: Clock) -> QualityService:
    asked = settings.quality
    document = read_document(asked.rules_path, ValidationRulesDocument) if asked.rules_path is not None else None
    own = _yaml(asked.rubric_path, "quality.rubric_path") if asked.rubric_path is not None else None
    rubric = load_rubric(LogicalTables.load(), document, own)
    return QualityService(
        rubric, Bands(asked.excellent, asked.good, asked.minimum, asked.below_minimum == "reject"), clock
    )


def _processing_document(settings: Settings) -> Mapping[str, Any] | None:
    path = settings.hl7.processing_path
    return None if path is None else _yaml(path, "hl7.processing_path")


def _yaml(path: Path, setting: str) -> Mapping[str, Any]:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        raise ConfigurationError(f"{setting}: {path} cannot be read; try: healthsync config check") from None


def _conventions(settings: Settings) -> ConventionsOf:
    """The contract with each source, what it leaves open as for the hub."""
    hub = settings.normalisation
    by_source = {name: _contract(hub, source) for name, source in (hub.by_source or {}).items()}
    usual = _contract(hub, SourceNormalisation())
    return lambda source: by_source.get(source, usual)


def _contract(hub: Normalisation, source: SourceNormalisation) -> Conventions:
    order = source.date_order or hub.date_order
    return Conventions(
        names=(source.names or hub.names) == "title-case",
        phones=(source.phones or hub.phones) == "e164",
        addresses=(source.addresses or hub.addresses) == "usps",
        date_order=DateOrder(order) if order else None,
        country=source.country or hub.country,
    )


def _enrichment(settings: Settings, authorities: Authorities) -> EnrichmentTables:
    path = settings.hl7.enrichment_path
    return EnrichmentTables() if path is None else EnrichmentTables.of(load_enrichment(path), authorities)


def _authorities(settings: Settings) -> Authorities:
    path = settings.mpi.authorities_path
    return NO_AUTHORITIES if path is None else read_document(path, AuthoritiesDocument).read()


def _operator_mapping(settings: Settings) -> OperatorMapping | None:
    document = _processing_document(settings)
    return None if document is None else load_operator_mapping(document, LogicalTables.load())


def _open_link(destination: Destination) -> AbstractAsyncContextManager[MessageLink]:
    """The way to a destination, by its terms."""
    tls = destination.tls
    return open_link(
        Where(
            destination.host,
            destination.port,
            destination.listen,
            destination.max_connections,
            destination.connect_timeout_seconds,
            destination.ack_timeout_seconds,
            tls is not None,
            *((tls.ca, tls.certificate, tls.key, tls.server_name) if tls is not None else ()),
        )
    )


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
