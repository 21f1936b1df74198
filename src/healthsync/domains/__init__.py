"""Band 3. Nouns and rules, one package each; a domain does not know the others."""
