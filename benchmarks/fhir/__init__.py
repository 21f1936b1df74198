"""The FHIR workloads W1 to W5 against any FHIR R4 server: `python -m benchmarks.fhir --base http://…`.

The load generator shares the machine with the server, so it is small: `client` speaks HTTP/1.1 on one asyncio protocol
a connection, `workloads` knows requests and expected statuses, `population` has the patients that are sent.
"""
