"""What is PHI, how sensitive it is, and the only way it is written down: sealed.

A resource is split before storage into what may be read in a dump and, for each sensitivity class, one ciphertext of
all its elements of that class (AES-256-GCM; key per patient and class; bound to hub, type, id, version and class).
Reading joins the parts again as text, so a number keeps its digits. `policy.yaml` names the elements and says why.

Invariants: a ciphertext opens only in its own place; destroying a patient's data key makes every element unreadable;
an element that the policy does not know is judged by its content, and free text always counts as PHI.
"""

from healthsync.domains.privacy.model import HUB_SCOPE, DataKey, SealedResource, SensitivityClass
from healthsync.domains.privacy.sealing import SealingPolicy, seal_resource, unseal_members
from healthsync.domains.privacy.service import DataKeys

__all__ = [
    "HUB_SCOPE",
    "DataKey",
    "DataKeys",
    "SealedResource",
    "SealingPolicy",
    "SensitivityClass",
    "seal_resource",
    "unseal_members",
]
