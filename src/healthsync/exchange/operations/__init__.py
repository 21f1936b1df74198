"""Operations of FHIR (operations.html): each a flow of its own."""
