"""MFN: what the directory of a sender says of its staff and its places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from healthsync.standards.hl7v2 import Segment
from healthsync.standards.maps import masterfiles, times
from healthsync.standards.maps.model import Conversion
from healthsync.standards.maps.reading import Handler, Reading
from healthsync.standards.maps.scribe import Draft
from healthsync.standards.maps.tables import tables


class MasterFiles(Reading):
    """MFN (v2.5.1 §8.4): M02 staff and practitioners, M05 places of patients. Each MFE begins an entry."""

    messages: ClassVar[Mapping[str, frozenset[str]]] = {"MFN": frozenset({"M02", "M05"})}
    maps = (
        "STF[Practitioner]", "PRA[Practitioner]", "PRA[PractitionerRole]", "LOC[Location]", "LDP[Location]",
        "SFT[Device]",
    )  # fmt: skip
    early = frozenset({"MFI", "MFE", "STF", "PRA", "LOC", "LDP", "NTE"})
    patientless = frozenset({"M02", "M05"})

    def run(self) -> Conversion:
        self.active: bool | None = None
        self.entry: Draft | None = None
        return super().run()

    def _mfi(self, mfi: Segment) -> None:
        """MFI names the file and how complete it is (MFI-3): what is not in it is not taken for deleted."""

    def _mfe(self, mfe: Segment) -> None:
        self.entry = None
        code = mfe.get(1).strip().upper()
        if code not in tables().master_file_events:
            self.scribe.issue("code-not-in-table", "MFE-1")
        self.active = tables().master_file_events.get(code)

    def _begun(self, draft: Draft | None) -> None:
        self.entry = draft
        if draft:
            draft.as_of = times.date_time(self.event_text, self.scribe.zone) or ""

    def _stf(self, stf: Segment) -> None:
        self._begun(masterfiles.staff(stf, self.active, self.programs, self.scribe))

    def _pra(self, pra: Segment) -> None:
        if self.entry is None:
            self.scribe.unmapped["PRA"] += 1
            return
        masterfiles.practice(pra, self.entry, self.programs, self.scribe)

    def _loc(self, loc: Segment) -> None:
        self._begun(masterfiles.place(loc, "LOC[Location]", 0, self.active, self.programs, self.scribe))

    def _ldp(self, ldp: Segment) -> None:
        self._begun(masterfiles.place(ldp, "LDP[Location]", 6, self.active, self.programs, self.scribe))

    handlers: ClassVar[Mapping[str, Handler]] = {
        "MFI": _mfi,
        "MFE": _mfe,
        "STF": _stf,
        "PRA": _pra,
        "LOC": _loc,
        "LDP": _ldp,
    }
