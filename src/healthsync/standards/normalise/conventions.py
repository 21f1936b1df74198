"""How one source writes, and what of it is brought to normal form."""

from __future__ import annotations

from dataclasses import dataclass

from healthsync.standards.normalise.dates import DateOrder


@dataclass(frozen=True, slots=True)
class Conventions:
    """The contract with a source. As a rule what it sends stays as it is sent.

    names, phones, addresses  whether these are brought to normal form; the original stands beside
    date_order                how it writes dates with slashes; None refuses those that could be two days
    country                   ISO 3166 code of numbers and addresses that name no country
    """

    names: bool = False
    phones: bool = False
    addresses: bool = False
    date_order: DateOrder | None = None
    country: str = "US"

    @property
    def changes_resources(self) -> bool:
        """Whether anything is brought to normal form after the conversion."""
        return self.names or self.phones or self.addresses


AS_SENT = Conventions()
"""Nothing is changed, and ambiguous dates are refused."""
