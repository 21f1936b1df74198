"""`assigning_authorities`: which names mean one assigning authority.

assigning_authorities:
  - authority: 1.2.3.4                     # OID or URI that its numbers are filed and told under
    namespace: ZHOSP                       # what HL7 v2 calls it (HD.1)
    also: [ZH, "http://zhosp.example/mrn"] # further namespaces, OIDs and URIs
    partners: [mercy]                      # in whose words; absent: everybody's
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from healthsync.settings.documents.names import Names
from healthsync.settings.reading import setting
from healthsync.standards.authorities import AssigningAuthority, Authorities
from healthsync.standards.maps.systems import authority_system

_OWN = "urn:healthsync:authority:"


@dataclass(frozen=True, slots=True)
class NamedAuthority:
    """One assigning authority and its names."""

    authority: str = setting("Its OID, UUID or URI: numbers are filed, compared and told under it.")
    namespace: str | None = setting("What HL7 v2 calls it (HD.1), also in answers and messages.", default=None)
    also: tuple[str, ...] = setting(
        "Further names: namespaces, OIDs, URIs. The name of a partner stands for its numbers without an authority.",
        default=(),
    )
    partners: tuple[str, ...] = setting(
        "Partners and clients in whose words the names mean it: a namespace is unique at its sender only. "
        "Absent: in everybody's.",
        default=(),
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """What the values say against each other."""
        if system_of(self.authority).startswith(_OWN):
            yield "authority", f"“{self.authority}” is no OID, UUID or URI; a namespace goes to namespace or also"
        if not (self.namespace or self.also):
            yield "authority", "has no other name here; give namespace or also"

    def read(self) -> AssigningAuthority:
        """As the hub works by it."""
        system = system_of(self.authority)
        named = [*([self.namespace] if self.namespace else []), *self.also]
        names = tuple(dict.fromkeys((system, *map(system_of, named))))
        return AssigningAuthority(system, self.namespace or "", names, self.partners)


@dataclass(frozen=True, slots=True)
class AuthoritiesDocument:
    """Which names mean one assigning authority."""

    assigning_authorities: tuple[NamedAuthority, ...] = setting(
        "Assigning authorities that go by several names; named by `mpi.authorities_path`."
    )

    def describe(self, names: Names) -> Iterator[str]:
        """A sentence for each authority; a name that means two is a problem."""
        meant: dict[tuple[str, str], int] = {}
        for place, each in enumerate(self.assigning_authorities):
            row = each.read()
            for name in row.names:
                others = {
                    at for (partner, known), at in meant.items()
                    if known == name and (partner in row.partners or not partner or not row.partners)
                }  # fmt: skip
                differing = [at for at in others if self.assigning_authorities[at].read().system != row.system]
                if others and (differing or name != row.system):
                    key = f"assigning_authorities[{place}]"
                    names.fault(key, f"{name} stands for another authority already; a name means one for each partner")
            meant.update({(partner, name): place for partner in row.partners or ("",) for name in row.names})
            whose = f" in the words of {', '.join(row.partners)}" if row.partners else ""
            yield f"{row.system} is also {', '.join(name for name in row.names if name != row.system)}{whose}"

    def read(self) -> Authorities:
        """As the hub works by it."""
        return Authorities([each.read() for each in self.assigning_authorities])


def system_of(name: str) -> str:
    """The URI of an authority by a name of it: a namespace, an OID, a UUID or a URI."""
    return authority_system("", name, "")
