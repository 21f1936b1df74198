"""A whole exchange on one machine: a made-up town, three hospitals and a clinic, and a real hub between them.

Pure, the same for the same seed:

    names           words that occur nowhere else, so that a leak of one can be found
    population      who lives in the town
    registrations   how each source knows them: typing errors, maiden names, duplicates, missing numbers
    laboratory      tests with units, ranges and critical limits
    visits          what happens to them, source by source
    scenario        as HL7 v2 messages and FHIR bundles, in the order in which they are sent
    leaks           looking for their values in files where none may stand
    summary         what the demonstration promises, and whether it held

With a hub:

    house           the data folder and the process of the hub
    delivery        messages over MLLP, bundles over HTTP
    inspection      what the hub made of it, asked through its own doors
    screen          what people see
    play            the whole, in order
"""
