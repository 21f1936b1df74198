"""What can be wrong with a subscription."""

from healthsync.errors import InvalidInput


class SubscriptionRefused(InvalidInput):
    """A Subscription asks for what this hub does not do; the sentence becomes Subscription.error."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="not-supported")
