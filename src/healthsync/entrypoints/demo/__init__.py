"""A whole exchange on one machine: a made-up town, three hospitals and a clinic, and a real hub between them.

Pure, the same for the same seed:

    names           words that occur nowhere else, so that a leak of one can be found
    population      who lives in the town
    registrations   how each source knows them: typing errors, maiden names, duplicates, missing numbers
    laboratory      tests with units, ranges and critical limits
    segments        what a source knows as HL7 v2 segments
    bundles         what the clinic knows as FHIR transactions
    scenario        what happens: all messages and bundles in the order in which they are sent, and the truth
    leaks           looking for their values in files where none may stand
    summary         what the demonstration promises, and whether it held

With a hub:

    house           the data folder and the process of the hub
    delivery        messages over MLLP, bundles over HTTP
    inspection      what the hub made of it, asked through its own doors
    screen          what people see
    play            the whole, in order
"""
