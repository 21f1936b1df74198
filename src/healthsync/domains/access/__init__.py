"""Who asks: clients with API keys, signed tokens, roles with scopes, and the purpose of use.

Deny by default: a role that is not in `roles.yaml` gives nothing, a scope only narrows what the roles give, an
unknown purpose is an error. What a role may see of one patient is decided with consent in `exchange.disclose`.
"""

from healthsync.domains.access.errors import CredentialRefused, PurposeNotAllowed
from healthsync.domains.access.model import Client, Interaction, Requester, RolePolicy, StreamRight
from healthsync.domains.access.scopes import granted, may_use_streams, parse_scopes, purpose_of_use
from healthsync.domains.access.service import AccessService
from healthsync.domains.access.tokens import KeySetFile, TokenVerifier

__all__ = [
    "AccessService",
    "Client",
    "CredentialRefused",
    "Interaction",
    "KeySetFile",
    "PurposeNotAllowed",
    "Requester",
    "RolePolicy",
    "StreamRight",
    "TokenVerifier",
    "granted",
    "may_use_streams",
    "parse_scopes",
    "purpose_of_use",
]
