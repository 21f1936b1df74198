"""What can go wrong when someone says who he is."""

from healthsync.errors import Refused


class CredentialRefused(Refused):
    """No credential, or one that does not hold (HTTP 401). The message never says which part was wrong."""

    code = "login"


class PurposeNotAllowed(Refused):
    """The purpose of use is known, but the roles of the requester do not include it (HTTP 403)."""

    code = "forbidden"
