"""Search parameters that the operators of a hub add: which there are, how far each is indexed, who has to know.

Writers in several processes learn of a change one after the other. So a parameter goes through states that are safe
beside their neighbours: `announced` (writers remove its index rows and write none), `indexing` (writers write them, a
job adds those of resources that nobody writes), `active` (searches use it), `retired` (as announced). No row is ever
stale, and none is missing once it is active.
"""

from healthsync.domains.search_parameters.model import AddedParameter
from healthsync.domains.search_parameters.service import SearchParameterService

__all__ = ["AddedParameter", "SearchParameterService"]
