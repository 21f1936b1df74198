"""Who may send to this hub, and by what a sender is recognised.

A partner names the criteria by which it is known: its client certificate, the addresses it connects from, MSH-3 and
MSH-4 of its messages. Every criterion that it names must hold; among several that fit, the certificate outranks the
address and the address outranks the header. Two that fit equally well are nobody: guessing would file one hospital's
patients under another.
"""

from healthsync.domains.directory.model import AckMode, Partner, PartnerState, Peer, fingerprint, network
from healthsync.domains.directory.recognition import development_partner, recognise
from healthsync.domains.directory.service import DirectoryService

__all__ = [
    "AckMode",
    "DirectoryService",
    "Partner",
    "PartnerState",
    "Peer",
    "development_partner",
    "fingerprint",
    "network",
    "recognise",
]
