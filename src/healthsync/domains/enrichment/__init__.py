"""What messages leave out and the operator knows: a doctor's NPI, a ward's place of service, what a code means.

Tables of the operator (`settings.documents.enrichment`) are held in memory; `enriched` fills with them what a message
did not say. It never overwrites what was sent, neither in this message nor in an earlier one, and tags what it has
filled.
"""

from healthsync.domains.enrichment.filling import TAG_SYSTEM, enriched
from healthsync.domains.enrichment.model import EnrichmentTables

__all__ = ["TAG_SYSTEM", "EnrichmentTables", "enriched"]
