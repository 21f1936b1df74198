"""Band 4. What the hub does: one file for each thing that a partner, clinician, patient or operator can ask of it."""
