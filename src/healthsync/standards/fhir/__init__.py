"""HL7(R) FHIR(R) R4 (4.0.1) as pure functions on values: no socket, no database, no clock.

`json` reads and writes resources without losing a digit, `validate` judges their structure, `search_parameters` tells
under which values a resource is found, `query` reads what a search asks for, `dates` turns a written date into the
interval that it means, `references` and `bundles` walk the links between resources, `compartments` names the patients
that a resource is about, `outcome` words what went wrong, `capability` describes a server.

A resource is the plain dict of its JSON; decimals are `decimal.Decimal` with the digits that the sender wrote.
"""
