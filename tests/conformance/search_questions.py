"""What search.html says that a search finds, asked of `search_world`: `query -> ids`.

Characters that a URL would need escaped stand as they are; `+` and `%XX` are escapes as in any URL.
"""

NUMBERS = """
RiskAssessment?probability=0.8 -> r-0.8 r-0.84
RiskAssessment?probability=0.80 -> r-0.8
RiskAssessment?probability=eq0.8 -> r-0.8 r-0.84
RiskAssessment?probability=8e-1 -> r-0.8 r-0.84
RiskAssessment?probability=8.0E-1 -> r-0.8
RiskAssessment?probability=gt0.8 -> r-0.84 r-0.85 r-range r-high
RiskAssessment?probability=ge0.8 -> r-0.8 r-0.84 r-0.85 r-range r-high
RiskAssessment?probability=lt0.84 -> r-0.8
RiskAssessment?probability=le0.84 -> r-0.8 r-0.84
RiskAssessment?probability=ne0.8 -> r-0.85 r-range r-high
RiskAssessment?probability=gt20 -> r-range r-high
RiskAssessment?probability=lt20 -> r-0.8 r-0.84 r-0.85 r-range
RiskAssessment?probability=sa5 -> r-range r-high
RiskAssessment?probability=eb40 -> r-0.8 r-0.84 r-0.85 r-range
RiskAssessment?probability=ap0.9 -> r-0.84 r-0.85
RiskAssessment?probability=0.84,0.85 -> r-0.84 r-0.85
RiskAssessment?probability=gt0.8&probability=lt0.85 -> r-0.84
RiskAssessment?probability:missing=false -> r-0.8 r-0.84 r-0.85 r-range r-high
RiskAssessment?probability:missing=true ->
"""

QUANTITIES = """
Observation?code=number100&value-quantity=100 -> q-99.6 q-100 q-100.004 q-100.4
Observation?code=number100&value-quantity=100.00 -> q-100 q-100.004
Observation?code=number100&value-quantity=1e2 -> q-99.6 q-100 q-100.004 q-100.4 q-100.5 q-149
Observation?code=number100&value-quantity=1.00e2 -> q-99.6 q-100 q-100.004 q-100.4
Observation?code=number100&value-quantity=gt100 -> q-100.004 q-100.4 q-100.5 q-149
Observation?code=number100&value-quantity=ge100 -> q-100 q-100.004 q-100.4 q-100.5 q-149
Observation?code=number100&value-quantity=lt100 -> q-99.6
Observation?code=number100&value-quantity=le100 -> q-99.6 q-100
Observation?code=number100&value-quantity=ne100 -> q-100.5 q-149
Observation?code=number100&value-quantity=sa100.4 -> q-100.5 q-149
Observation?code=number100&value-quantity=eb100 -> q-99.6
Observation?code=number100&value-quantity=ap140 -> q-149
Observation?code=number100&value-quantity=100000|http://unitsofmeasure.org|g -> q-100
Observation?code=number100&value-quantity=gt100|http://unitsofmeasure.org|g -> q-99.6 q-100 q-100.004 q-100.4 q-100.5 q-149
Observation?code=number100&value-quantity=100||kg -> q-99.6 q-100 q-100.004 q-100.4
Observation?code=number100&value-quantity=100|http://unitsofmeasure.org| -> q-99.6 q-100 q-100.004 q-100.4
Observation?code=number100&value-quantity=100|urn:nobody|kg ->
Observation?code=quantity&value-quantity=5.4 -> q-5.4mg q-5.4plain q-5.44mg q-urn q-unit
Observation?code=quantity&value-quantity=5.40 -> q-5.4mg q-5.4plain q-urn q-unit
Observation?code=quantity&value-quantity=5.4|http://unitsofmeasure.org|mg -> q-5.4mg q-5400ug q-5.44mg
Observation?code=quantity&value-quantity=5.40|http://unitsofmeasure.org|mg -> q-5.4mg q-5400ug
Observation?code=quantity&value-quantity=0.0054|http://unitsofmeasure.org|g -> q-5.4mg q-5400ug q-5.44mg
Observation?code=quantity&value-quantity=5.40e-3|http://unitsofmeasure.org|g -> q-5.4mg q-5400ug
Observation?code=quantity&value-quantity=5.4||mg -> q-5.4mg q-5.44mg q-urn q-unit
Observation?code=quantity&value-quantity=5.4||milligram -> q-5.4mg
Observation?code=quantity&value-quantity=5.4|urn:units|mg -> q-urn
Observation?code=quantity&value-quantity=gt5.4|http://unitsofmeasure.org|mg -> q-5.44mg q-5.5mg q-more
Observation?code=quantity&value-quantity=lt5|http://unitsofmeasure.org|mg -> q-less
Observation?code=quantity&value-quantity=gt5.4|http://unitsofmeasure.org|Cel ->
Observation?code=quantity&value-quantity=lt0 -> q-neg q-less
Observation?code=quantity&value-quantity=-3 -> q-neg
Observation?code=quantity&value-quantity=gt-5|http://unitsofmeasure.org|Cel -> q-neg
Observation?code=quantity&value-quantity=5.5,-3 -> q-5.5mg q-neg
Observation?code=quantity&value-quantity=ge5.4&value-quantity=le5.44 -> q-5.4mg q-5.4plain q-5.44mg q-urn q-unit
Observation?value-quantity=gt3|http://unitsofmeasure.org|mV -> q-sampled
Observation?code=sampled&value-quantity=gt5 ->
Observation?component-value-quantity=150 -> t-2
Observation?component-value-quantity=gt100|http://unitsofmeasure.org|mm[Hg] -> t-2
Observation?combo-value-quantity=80||mm[Hg] -> t-2
Encounter?length=60|http://unitsofmeasure.org|min -> e1
Encounter?length=1|http://unitsofmeasure.org|h -> e1
Encounter?length=gt3000|http://unitsofmeasure.org|s -> e1
Condition?onset-age=gt40|http://unitsofmeasure.org|a -> c1
Condition?onset-age=50 -> c1
"""

DATES = """
Observation?code=date&date=2019 -> d-year d-month d-day d-minute d-milli d-zone d-period
Observation?code=date&date=2019-06 -> d-month d-day d-minute d-milli d-zone d-period
Observation?code=date&date=2019-06-15 -> d-day d-minute d-milli
Observation?code=date&date=2019-06-16 -> d-zone
Observation?code=date&date=2019-06-15T20:00Z -> d-minute d-milli
Observation?code=date&date=2019-06-15T20:00:00Z -> d-minute d-milli
Observation?code=date&date=2019-06-15T20:00:00.500Z -> d-milli
Observation?code=date&date=2019-06-15T20:00:00.5Z -> d-milli
Observation?code=date&date=2019-06-15T20:00:00.5000000Z -> d-milli
Observation?code=date&date=2019-06-15T20:00:00.501Z ->
Observation?code=date&date=gt2019-06-15T20:00:00.500000Z&date=lt2019-06-15T20:00:01Z -> d-year d-month d-day d-minute d-period
Observation?code=date&date=le2019-06-15T20:00:00.500000Z&date=sa2019-06-15T20:00:00.4Z -> d-milli
Observation?code=date&date=2019-06-15T20:00:01Z ->
Observation?code=date&date=2019-06-15T15:00:00-05:00 -> d-minute d-milli
Observation?code=date&date=2019-06-15T22:00:00%2B02:00 -> d-minute d-milli
Observation?code=date&date=2019-06-15T22:00:00+02:00 -> d-minute d-milli
Observation?code=date&date=2019-06-16T04:30Z -> d-zone
Observation?code=date&date=eq2019-06-15 -> d-day d-minute d-milli
Observation?code=date&date=ne2019-06 -> d-year d-since d-until d-timing d-bounds d-instant
Observation?code=date&date=gt2019-06-15 -> d-year d-month d-zone d-period d-since
Observation?code=date&date=ge2019-06-15 -> d-year d-month d-day d-minute d-milli d-zone d-period d-since
Observation?code=date&date=gt2019 -> d-since
Observation?code=date&date=ge2019 -> d-year d-month d-day d-minute d-milli d-zone d-period d-since
Observation?code=date&date=lt2019 -> d-until d-timing d-bounds d-instant
Observation?code=date&date=le2019 -> d-year d-month d-day d-minute d-milli d-zone d-period d-until d-timing d-bounds d-instant
Observation?code=date&date=lt2019-06-15 -> d-year d-month d-period d-until d-timing d-bounds d-instant
Observation?code=date&date=le2019-06-15 -> d-year d-month d-day d-minute d-milli d-period d-until d-timing d-bounds d-instant
Observation?code=date&date=sa2019-06-15 -> d-zone d-since
Observation?code=date&date=eb2019-06-15 -> d-until d-timing d-bounds d-instant
Observation?code=date&date=sa2018 -> d-year d-month d-day d-minute d-milli d-zone d-period d-since
Observation?code=date&date=ap2019-06-15&date=gt2019-06-01 -> d-year d-month d-day d-minute d-milli d-zone d-period d-since
Observation?code=date&date=gt2100 -> d-since
Observation?code=date&date=lt1900 -> d-until
Observation?code=date&date=2017 -> d-timing
Observation?code=date&date=2017-01-03 ->
Observation?code=date&date=gt2017-01-03&date=lt2018 -> d-timing d-until
Observation?code=date&date=2016 -> d-bounds
Observation?code=date&date=2015-02-07T11:28:17Z -> d-instant
Observation?code=date&date=2015-02-07T11:28:17.239Z -> d-instant
Observation?code=date&date=2015-02-07T11:28:17.238Z ->
Observation?code=date&date=2019-06-15,2016 -> d-day d-minute d-milli d-bounds
Observation?code=date&date=ge2019-06-15&date=lt2019-06-16 -> d-year d-month d-day d-minute d-milli d-period
Observation?code=date&date:missing=true -> d-none
Observation?code=date&date:missing=false&date=2019-06-15 -> d-day d-minute d-milli
Observation?code=date&date=0001 ->
Observation?code=date&date=9999 ->
Observation?code=date&date=gt9999-12-31 -> d-since
Observation?code=date&date=ge9999-12-31 -> d-since
Observation?code=date&date=sa9999-12-31 ->
Observation?code=date&date=lt0001-01-01 -> d-until
Observation?code=date&date=le0001-01-01 -> d-until
Observation?code=date&date=eb0001-01-01 ->
Observation?code=date&date=ap9999-12-31&date=gt2100 -> d-since
Observation?code=date&date=lt9999 -> d-year d-month d-day d-minute d-milli d-zone d-period d-since d-until d-timing d-bounds d-instant
Patient?birthdate=1971-03-09 -> p1
Patient?birthdate=1971-03 -> p1 p3
Patient?birthdate=1971 -> p1 p2 p3
Patient?birthdate=gt1971-03-09 -> p2 p3
Patient?birthdate=ge1971-03-09 -> p1 p2 p3
Patient?birthdate=lt1971-03-09 -> p2 p3
Patient?birthdate=le1971-03-09 -> p1 p2 p3
Patient?birthdate=sa1971-03-08 -> p1
Patient?birthdate=eb1971-04 -> p1 p3
Patient?birthdate=ne1971-03-09 -> p2 p3
Patient?birthdate=ap1971-03-09 -> p1 p2 p3
Patient?birthdate=ge1971-03&birthdate=le1971-03 -> p1 p2 p3
Patient?birthdate=gt1970&birthdate=lt1972 -> p1 p2 p3
Patient?birthdate=gt1972 ->
Patient?birthdate:missing=true -> p4
Patient?death-date=2020-02-03 -> p2
Patient?death-date=lt2021 -> p2
Patient?death-date:missing=true -> p1 p3 p4
Encounter?date=2024-01-01 -> e1
Encounter?date=gt2024-01-01T08:30 -> e1
Encounter?date=2024-01-01T08 -> 400
"""

STRINGS = """
Patient?family=müller -> p1
Patient?family=Muller -> p1
Patient?family=MÜLLER-LÜDENSCHEIDT -> p1
Patient?family=mu%CC%88ller -> p1
Patient?family=mu -> p1 p2
Patient?family=m -> p1 p2
Patient?family=lüdenscheidt ->
Patient?family:contains=lüden -> p1
Patient?family:contains=LUDEN -> p1
Patient?family:exact=Müller-Lüdenscheidt -> p1
Patient?family:exact=müller-lüdenscheidt ->
Patient?family:exact=Muller-Ludenscheidt ->
Patient?family:exact=Müller ->
Patient?family:exact=mueller -> p2
Patient?family=mueller,O'Brien -> p2 p3
Patient?family=mueller&family=smith -> p2
Patient?family=o'b -> p3
Patient?family=de la -> p4
Patient?family=de  la -> p4
Patient?family=de+la+cruz -> p4
Patient?family=cruz ->
Patient?given=ana -> p1
Patient?given=mar -> p1 p3
Patient?given=mary jane -> p3
Patient?given=jane ->
Patient?given=ana&given=maria -> p1
Patient?given=ana,pat -> p1 p4
Patient?given=jo -> p2
Patient?name=annie -> p1
Patient?name=ana -> p1
Patient?name=dr. -> p1
Patient?name=phd -> p1
Patient?name=smith -> p2
Patient?name:contains=next -> p1
Patient?name:exact=Ána -> p1
Patient?name:exact=Ana ->
Patient?address=são -> p1
Patient?address=sao paulo -> p1
Patient?address=paulo -> p2
Patient?address=12 elm -> p1
Patient?address=flat -> p1
Patient?address=near -> p2
Patient?address=01310 -> p1 p2
Patient?address:contains=elm -> p1
Patient?address-city=paulo -> p2
Patient?address-city:contains=paulo -> p1 p2
Patient?address-city:exact=São Paulo -> p1
Patient?address-country=br -> p1
Patient?address-postalcode=01310 -> p1 p2
Patient?address-state=sp -> p1
Patient?address-use=home -> p1
Patient?phonetic=smyth -> p2
Patient?name:missing=true ->
Patient?family:missing=true ->
Organization?name=weir -> org2 org3
Organization?name=weir hos -> org2
Organization?name:contains=ross ->
Organization?name:contains=eir -> org2 org3
Organization?name:exact=Weir Annex -> org3
Organization?name=HG -> org1
Observation?value-string=blood -> t-1
Observation?value-string=Blood was drawn\\, twice -> t-1
Observation?value-string:contains=drawn\\, -> t-1
Observation?value-string:exact=Blood was drawn\\, twice -> t-1
ValueSet?name=acme -> v1
Patient?family=&_id=p1 -> p1
Patient?family=smith, -> 400
Patient?family=%20 -> 400
"""

TOKENS = """
Observation?code=A -> t-1 t-3
Observation?code=a -> t-2
Observation?code=urn:codes|A -> t-1
Observation?code=|A -> t-3
Observation?code=urn:other| -> t-3
Observation?code=urn:other|A -> t-3
Observation?code=urn:nobody|A ->
Observation?code=A,a -> t-1 t-2 t-3
Observation?code=urn:codes|A,|A -> t-1 t-3
Observation?code=urn:codes|A&status=final -> t-1
Observation?code:text=only -> t-4
Observation?code:text=words -> t-4
Observation?code:text=only words -> t-4
Observation?code:text=alpha -> t-3
Observation?code:text=helix test -> t-3
Observation?code:text=the letter -> t-3
Observation?status=amended -> t-3
Observation?status=http://hl7.org/fhir/observation-status|amended -> t-3
Observation?code=A&status:not=final -> t-3
Observation?code=A,a&category:not=urn:cat|lab -> t-1 t-2
Observation?code=A,a&category:not=lab,vital -> t-1 t-2
Observation?category=lab&category=vital -> t-3
Observation?category=lab,vital -> t-3
Observation?code=A,a&category:missing=true -> t-1 t-2
Observation?code:missing=true ->
Observation?value-concept=pos -> t-3
Observation?value-concept=urn:codes|pos -> t-3
Observation?combo-code=8480-6 -> t-2
Observation?combo-code=A -> t-1 t-3
Observation?component-code=http://loinc.org|8480-6 -> t-2
Observation?data-absent-reason=unknown -> t-4
Observation?method=x -> t-5
Patient?gender=female -> p1
Patient?gender=http://hl7.org/fhir/administrative-gender|female -> p1
Patient?gender=male,other -> p2 p3
Patient?gender:not=female -> p2 p3 p4
Patient?gender:not=male,female -> p3 p4
Patient?gender:missing=true -> p4
Patient?active=true -> p1
Patient?active=false -> p2
Patient?active:not=true -> p2 p3 p4
Patient?active=http://hl7.org/fhir/special-values|true -> p1
Patient?deceased=true -> p2 p4
Patient?deceased=false -> p1 p3
Patient?identifier=MRN-1 -> p1 p4
Patient?identifier=urn:oid:1.2.3|MRN-1 -> p1
Patient?identifier=urn:oid:1.2.3| -> p1 p2 p3
Patient?identifier=|no-system -> p2
Patient?identifier=|MRN-1 ->
Patient?identifier=no-system -> p2
Patient?identifier=mrn-1 ->
Patient?identifier=a\\,b\\|c\\$d\\\\e -> p3
Patient?identifier=urn:oid:1.2.3|a\\,b\\|c\\$d\\\\e -> p3
Patient?identifier=urn:oid:1.2.3|a,urn:oid:1.2.3|MRN-2 -> p2
Patient?identifier:not=urn:oid:1.2.3| -> p4
Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|MRN-1 -> p1
Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|SS|MRN-1 ->
Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|SS|SSN-1 -> p1
Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR -> 400
Patient?identifier:text=medical -> p1
Patient?email=Ana@example.org -> p1
Patient?phone=555-0200 -> p2
Patient?phone=%2B1 555 0100 -> p1
Patient?phone=Ana@example.org ->
Patient?telecom=555-0200 -> p2
Patient?language=pt -> p1
Patient?language=urn:ietf:bcp:47|pt -> p1
Patient?address-use=http://hl7.org/fhir/address-use|home -> p1
Patient?_tag=gold -> p1 p4
Patient?_tag=urn:tags|gold -> p1 p4
Patient?_tag=silver -> p4
Patient?_tag:not=gold -> p2 p3
Patient?_tag=gold&_tag=silver -> p4
Patient?_security=R -> p1
Patient?_security=http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R -> p1
Patient?_profile=http://example.org/fhir/StructureDefinition/our-patient -> p1
Patient?_profile=http://example.org/fhir/StructureDefinition/nobody ->
Patient?_profile=http://example.org/core -> p2
Patient?_profile=http://example.org/core|2.1 -> p2
Patient?_profile=http://example.org/core|2 ->
Patient?_profile:below=http://example.org/core|2 -> p2
Patient?_profile:above=http://example.org/core|2 ->
Patient?_profile:above=http://example.org/core|2.1.1 -> p2
Patient?_source=http://sender.example.org/feed -> p1
Patient?_source=http://sender.example.org ->
Patient?_source:below=http://sender.example.org -> p1
Patient?_id=p1 -> p1
Patient?_id=p1,p2,nobody -> p1 p2
Patient?_id=p1&_id=p2 ->
Patient?_id:not=p1 -> p2 p3 p4
Patient?_id:missing=true ->
Patient?_id:missing=false -> p1 p2 p3 p4
Patient?_lastUpdated:missing=true ->
Patient?_lastUpdated:missing=false -> p1 p2 p3 p4
Patient?_id=P1 ->
Condition?clinical-status=active -> c1
Condition?code=http://snomed.info/sct|44054006 -> c1
Condition?code:text=type 2 -> c1
Observation?code:in=http://acme.org/fhir/ValueSet/123 -> t-2
Observation?code:in=http://acme.org/fhir/ValueSet/123|1.0 -> t-1
Observation?code:in=ValueSet/v1 -> t-1
Observation?code:in=ValueSet/v3 -> t-5 t-6 t-7
Observation?code:in=ValueSet/v5 -> t-5 t-6 t-7
Observation?code:in=ValueSet/v4 -> h-animal h-dog h-poodle h-cat
Observation?code=A,a&code:not-in=ValueSet/v1 -> t-2 t-3
Observation?value-concept:in=ValueSet/v1 -> t-3
Observation?code:in=http://nobody.example.org/vs -> 404
Observation?code:below=urn:tree|animal -> h-animal h-dog h-poodle h-cat
Observation?code:below=urn:tree|dog -> h-dog h-poodle
Observation?code:above=urn:tree|poodle -> h-animal h-dog h-poodle
Observation?code:above=urn:tree|animal -> h-animal
DocumentReference?contenttype=text/plain -> doc1
DocumentReference?contenttype:below=text/plain -> doc1 doc2
DocumentReference?contenttype:below=text -> doc1 doc2
DocumentReference?contenttype:below=image ->
DocumentReference?contenttype:above=text/plain -> 400
"""

REFERENCES = """
Observation?code=A,a&subject=Patient/p1 -> t-1 t-3
Observation?code=A&subject=p1 -> t-1 t-3
Observation?code=quantified&subject=Patient/p1 -> t-7
Observation?code=quantified&subject=https://elsewhere.example.org/fhir/Patient/p1 -> t-5
Observation?code=A&subject:Patient=p1 -> t-1 t-3
Observation?code=A&subject:Patient=Patient/p1 -> t-1 t-3
Observation?code=A&subject:Group=p1 ->
Observation?subject:Group=g1 -> t-4
Observation?subject=Group/g1 -> t-4
Observation?patient=g1 ->
Observation?code=A&patient=p1 -> t-1 t-3
Observation?code=A&patient=Patient/p1 -> t-1 t-3
Observation?code=A,a&patient=p1,p2 -> t-1 t-2 t-3
Observation?code=A&subject={base}/Patient/p1 -> t-1 t-3
Observation?code=A&subject=Patient/p1/_history/1 -> t-1 t-3
Observation?code=A&subject={base}/Patient/p1/_history/7 -> t-1 t-3
Observation?subject:identifier=urn:oid:1.2.3|MRN-1 -> t-6
Observation?patient:identifier=MRN-1 -> t-6
Observation?subject:identifier=urn:oid:1.2.3|MRN-2 ->
Observation?code=quantified,c1&subject:missing=true&value-quantity:missing=true ->
Observation?code=quantified&subject:missing=false -> t-5 t-6 t-7
Observation?performer=Practitioner/dr1 -> t-1
Observation?performer:Organization=org1 -> t-2
Observation?performer=dr1,org1 -> t-1 t-2
Observation?encounter=e1 -> t-1
Observation?has-member=t-1 -> t-4
Observation?has-member:Observation=t-1 -> t-4
Observation?derived-from=Observation/t-2 -> t-4
Patient?organization=org2 -> p1
Patient?general-practitioner=Practitioner/dr1 -> p1
Patient?general-practitioner:Organization=org1 -> p2
Patient?link=Patient/p2 -> p1
Patient?link=p2 -> p1
Patient?organization:identifier=urn:orgs|77 -> p4
Patient?organization:missing=true -> p2
Organization?partof=org1 -> org2
Organization?partof:missing=true -> org1
Encounter?part-of=Encounter/e1 -> e2
Provenance?target=Patient/p1 -> pv1
Provenance?patient=p1 -> pv1
QuestionnaireResponse?questionnaire=http://acme.org/q -> qr1 qr2 qr3
QuestionnaireResponse?questionnaire=http://acme.org/q|1.2.0 -> qr1
QuestionnaireResponse?questionnaire=http://acme.org/q|1.9 ->
QuestionnaireResponse?questionnaire:below=http://acme.org/q|1.2 -> qr1
Observation?subject:Device=p1&code=A ->
Organization?partof:below=org1 -> org2 org3
Organization?partof:below=Organization/org2 -> org3
Organization?partof:below=org3 ->
Organization?partof:below={base}/Organization/org1 -> org2 org3
Organization?partof:below=nobody ->
Organization?partof:above=org3 -> org2 org3
Patient?organization:below=org1 -> p1 p3
Patient?organization:below=Organization/org2 -> p1
Patient?organization:above=org2 -> p1 p3
Patient?organization:above=org1 -> p3
Patient?organization:below=org2,org1 -> p1 p3
Patient?general-practitioner:below=Organization/org1 -> p2
Location?partof:below=near -> far
Encounter?part-of:below=e1 -> e2
Observation?encounter:below=e1 -> t-1
Observation?patient.organization:below=org1 -> t-1 t-3 t-7
Patient?_has:Observation:patient:encounter:below=e1 -> p1
Observation?subject:below=Patient/p1 -> 400
Observation?subject:Nonsense=p1 -> 400
Observation?subject:Medication=p1 -> 400
"""

URIS = """
ValueSet?url=http://acme.org/fhir/ValueSet/123 -> v1 v2
ValueSet?url=http://acme.org/fhir/ValueSet/123|1.0 -> v1
ValueSet?url=http://acme.org/fhir/ValueSet/123|3.0 ->
ValueSet?url=http://acme.org/fhir/valueset/123 ->
ValueSet?url=http://acme.org/fhir/ValueSet ->
ValueSet?url:below=http://acme.org/fhir/ValueSet/123 -> v1 v2 v3
ValueSet?url:below=http://acme.org/fhir -> v1 v2 v3 v5
ValueSet?url:below=http://acme.org/fhir/ -> v1 v2 v3 v5
ValueSet?url:below=http://acme.org/fhir/ValueSet/12 ->
ValueSet?url:above=http://acme.org/fhir/ValueSet/123/sub -> v1 v2 v3
ValueSet?url:above=http://acme.org/fhir/ValueSet/123/_history/5 -> v1 v2
ValueSet?url=urn:oid:1.2.3.4.5 -> v4
ValueSet?url:below=urn:oid:1.2.3 ->
ValueSet?url:missing=true&_id=v1 ->
ValueSet?url=http://acme.org/fhir/ValueSet/123&version=2.0 -> v2
ValueSet?url=http://acme.org/fhir/ValueSet/123&status=active -> v1
ValueSet?url=urn:oid:1.2.3.4.5,http://acme.org/fhir/ValueSet/123/sub -> v3 v4
DocumentReference?location=http://docs.example.org/a -> doc2
DocumentReference?location:below=http://docs.example.org/a -> doc1 doc2
"""

COMPOSITES = """
Observation?component-code-value-quantity=http://loinc.org|8480-6$150 -> t-2
Observation?component-code-value-quantity=http://loinc.org|8480-6$gt140 -> t-2
Observation?component-code-value-quantity=http://loinc.org|8480-6$80 ->
Observation?component-code-value-quantity=8462-4$lt90||mm[Hg] -> t-2
Observation?component-code-value-quantity=8480-6$80,8462-4$80 -> t-2
Observation?combo-code-value-quantity=8480-6$gt140 -> t-2
Observation?combo-code-value-quantity=quantified$7 -> t-6
Observation?code-value-quantity=urn:codes|quantified$gt8 -> t-7
Observation?code-value-quantity=quantified$7|http://unitsofmeasure.org|mg -> t-6
DocumentReference?relationship=DocumentReference/doc2$replaces -> doc1
DocumentReference?relationship=doc2$http://hl7.org/fhir/document-relationship-type|replaces -> doc1
DocumentReference?relationship=doc2$appends ->
DocumentReference?relationship=doc1$replaces ->
DocumentReference?relationship=replaces$doc2 -> doc1
Observation?code-value-string=A$blood -> t-1
Observation?code-value-concept=A$pos -> t-3
Observation?code-value-concept=a$pos ->
Observation?code-value-date=A$2020 ->
Group?characteristic-value=urn:c|sex$urn:c|f -> g1
Group?characteristic-value=urn:c|age$urn:c|f ->
DocumentReference?relationship=replaces$DocumentReference/doc2 -> doc1
DocumentReference?relationship=appends$DocumentReference/doc2 ->
Observation?code-value-quantity:missing=true&code=A -> t-1 t-3
Observation?component-code-value-quantity=8480-6 -> 400
Observation?component-code-value-quantity=8480-6$150$1 -> 400
"""

CHAINS = """
Observation?code=A,a&subject.name=ana -> t-1 t-3
Observation?code=A,a&subject:Patient.name=ana -> t-1 t-3
Observation?code=A,a&patient.name=mueller -> t-2
Observation?patient.identifier=urn:oid:1.2.3|MRN-2 -> t-2
Observation?code=A,a&patient.birthdate=gt1970&patient.gender=female -> t-1 t-3
Observation?code=A,a&patient.organization.name=weir -> t-1 t-3
Observation?code=A,a&patient.organization.partof.name=holbrook -> t-1 t-3
Observation?code=A,a&subject:Patient.organization:Organization.name=weir -> t-1 t-3
Observation?patient.name=nobody ->
Observation?subject:Group.type=person -> t-4
Observation?code=A,a&patient.gender:not=female -> t-2
Observation?code=A,a&patient.gender:missing=true ->
Observation?code=A,a&patient._id=p1 -> t-1 t-3
Observation?code=A,a&subject._id=p2 -> t-2
Observation?performer.name=holbrook -> t-2
Observation?performer:Practitioner.name=aldous -> t-1
Observation?performer.identifier=D1 -> t-1
Observation?performer:Practitioner.family=innerdoc -> t-8
Observation?performer.name=inner -> t-8
Observation?performer:Practitioner.family:exact=Innerdoc -> t-8
Observation?performer:Practitioner.family:contains=nnerdo -> t-8
Observation?performer:Practitioner.family=in -> t-8
Observation?performer:Practitioner.family=aldous,innerdoc -> t-1 t-8
Observation?performer:Practitioner.identifier=IN-1 -> t-8
Observation?performer:Practitioner.identifier=urn:docs| -> t-1 t-8
Observation?performer:Practitioner.identifier:not=IN-1 -> t-1 t-11
Observation?performer:Practitioner.gender:missing=true -> t-1
Observation?performer:Practitioner.gender=female -> t-8 t-11
Observation?performer:Practitioner.identifier=D1 -> t-1
Observation?performer:PractitionerRole.organization.name=weir -> t-9
Observation?performer:PractitionerRole.organization=org2 -> t-9
Observation?performer:PractitionerRole.specialty=heart&performer:PractitionerRole.specialty=lung ->
Observation?performer:PractitionerRole.date=2021-05 -> t-9
Observation?performer:Organization.name=innerdoc ->
Observation?subject:Patient.name=innerdoc ->
Observation?performer:Practitioner._id=dr ->
Practitioner?family=innerdoc ->
Observation?performer:missing=true&code=inner ->
Observation?performer:missing=false&code=inner -> t-8 t-9
Observation?has-member.performer:Practitioner.family=innerdoc -> t-10
Observation?_has:Observation:has-member:code=outer&performer:Practitioner.family=innerdoc -> t-8
Patient?_has:Observation:patient:performer:Practitioner.family=innerdoc -> p4
Observation?performer:Practitioner.family=innerdoc&status=final&code=inner -> t-8
Observation?encounter.service-provider.name=weir -> t-1
Observation?encounter:Encounter.part-of:missing=true -> t-1
Observation?has-member.code=A -> t-4
Observation?has-member:Observation.patient.name=ana -> t-4
Patient?general-practitioner.name=aldous -> p1
Patient?general-practitioner.name=holbrook -> p2
Patient?link.family=smith -> p1
Patient?link:Patient.family=smith -> p1
Encounter?subject._tag=gold -> e1
Condition?encounter.participant.name=aldous -> c1
Condition?subject:Patient.family:exact=Müller-Lüdenscheidt -> c1
Patient?_has:Observation:patient:code=A -> p1
Patient?_has:Observation:patient:code=urn:codes|a -> p2
Patient?_has:Observation:subject:code=A -> p1
Patient?_has:Observation:patient:code=A&_has:Observation:patient:code=a ->
Patient?_has:Observation:patient:code=A,a -> p1 p2
Patient?_has:Condition:patient:code=44054006 -> p1
Patient?_has:Encounter:patient:_id=e2 -> p2
Patient?_has:Observation:patient:value-string:contains=drawn -> p1
Patient?_has:Observation:patient:performer.name=aldous -> p1
Patient?_has:Observation:patient:performer:Practitioner.name=aldous -> p1
Patient?_has:Observation:patient:_has:Provenance:target:agent=dr1 -> p1
Patient?_has:Provenance:target:agent=Practitioner/dr1 -> p1
Patient?_has:Observation:patient:code:not=A&gender=female -> p1
Patient?_has:Group:member:type=person -> p3
Practitioner?_has:Observation:performer:patient.name=ana -> dr1
Practitioner?_has:PractitionerRole:practitioner:organization.name=weir -> dr1
Organization?_has:Patient:organization:name=ana -> org2
Organization?_has:Organization:partof:name=weir annex -> org2
Organization?_has:Organization:partof:_has:Organization:partof:name=weir annex -> org1
Encounter?_has:Observation:encounter:status=final -> e1
Observation?subject._has:Condition:patient:code=44054006&code=A -> t-1 t-3
Observation?patient._has:Condition:patient:code=44054006&code=A -> t-1 t-3
Observation?patient.nonsense=1 -> 400
Observation?code.text=1 -> 400
Observation?subject:Medication.code=1 -> 400
Patient?_has:Observation:patient=A -> 400
Patient?_has:Nonsense:patient:code=A -> 400
Patient?_has:Observation:nonsense:code=A -> 400
Patient?_has:Observation:code:code=A -> 400
Patient?_has:Observation:patient:nonsense=A -> 400
Patient?_has:Observation:device:code=A -> 400
"""

CONTAINED = """
Practitioner?family=innerdoc&_contained=false ->
Practitioner?family=innerdoc&_contained=true -> t-8
Practitioner?family=innerdoc&_contained=true&_containedType=container -> t-8
Practitioner?family=innerdoc&_containedType=contained ->
Practitioner?family:exact=Innerdoc&_contained=true -> t-8
Practitioner?family:contains=nnerdo&_contained=true -> t-8
Practitioner?identifier=urn:docs|IN-1&_contained=true -> t-8
Practitioner?identifier=urn:docs|IN-2&_contained=true ->
Practitioner?family=twodoc&gender=male&_contained=true -> t-11
Practitioner?family=twodoc&gender=female&_contained=true ->
Practitioner?family=twodoc,innerdoc&_contained=true -> t-8 t-11
Practitioner?gender:missing=true&_contained=true ->
Practitioner?gender:not=female&_contained=true -> t-11
Practitioner?_contained=true -> t-8 t-11
Practitioner?_filter=family sw twodoc and gender eq male&_contained=true -> t-11
Practitioner?_filter=family sw twodoc and gender eq female&_contained=true ->
Practitioner?_id=dr&_contained=true ->
Practitioner?family=aldous&_contained=true ->
Practitioner?family=aldous,innerdoc&_contained=both -> dr1 t-8
Practitioner?family=innerdoc&_contained=true&_sort=-_lastUpdated -> t-8
PractitionerRole?organization.name=weir&_contained=true -> t-9
PractitionerRole?specialty=urn:s|heart&date=2021-05&_contained=true -> t-9
PractitionerRole?specialty=lung&_contained=true ->
Medication?code=x&_contained=true ->
Practitioner?family=innerdoc&_contained=maybe -> 400
Practitioner?family=innerdoc&_contained=true&_containedType=both -> 400
Practitioner?family=innerdoc&_contained=true&_sort=family -> 400
Practitioner?family=innerdoc&_contained=true&_include=Observation:subject -> 400
Patient/p1/Observation?code=A&_contained=true -> 400
"""
"""search.html#contained: hits are what contains the resource that fits; all criteria hold of one contained resource."""

BUNDLES = """
Bundle?composition.title=discharge -> letter
Bundle?composition:Composition.title:contains=LETTER -> letter
Bundle?composition.title:exact=discharge letter ->
Bundle?composition.status=final&composition.date=2024-01 -> letter
Bundle?composition.status=amended ->
Bundle?composition.patient=Patient/p1 -> letter
Bundle?composition.patient=p2 ->
Bundle?composition.subject.family=nobody ->
Bundle?composition.author.family=aldous -> letter
Bundle?composition.title=discharge&identifier=urn:bundles|1 -> letter
Bundle?composition:missing=false -> letter
Bundle?message.event=urn:event -> message
Bundle?message=MessageHeader/mh -> message
Bundle?message:missing=false -> message
Bundle?type=collection -> heap
"""
"""Bundle's parameters composition and message: the first resource of a document or message, whose contents are searched."""

SPECIAL = """
Location?near=47.37|8.54|1|km -> near
Location?near=47.37|8.54|200|km -> near far
Location?near=47.37|8.54 -> near
Location?near=47.0|7.44|20 -> far
Location?near=47.37|8.54|100|m -> near
Location?near=47.37|8.54|1|[mi_us] -> near
Location?near=1|1|5|km ->
Location?near=nonsense -> 400
Location?near=97|8 -> 400
Location?near=47.37|8.54|1|furlong -> 400
Location?near:missing=true -> nowhere
Patient?_list=l1 -> p1 p3
Observation?_list=l1 -> t-1
Patient?_list=nobody ->
Patient?_list=$current-allergies -> 400
AllergyIntolerance?_list=$current-allergies -> 400
AllergyIntolerance?patient=p1,p2&_list=$current-allergies -> 400
AllergyIntolerance?patient=p1&_list=$current-moods -> 400
Condition?patient=p1&_list=$current-allergies -> 400
Condition?patient=p1&_list=$current-problems -> c1
Condition?subject=Patient/p1&_list=$current-problems&code=44054006 -> c1
Condition?patient=p2&_list=$current-problems ->
Patient?_text=crutch -> p1
Patient?_text=CRUTCH -> p1
Patient?_text=walks crutch -> p1
Patient?_text=nonsense ->
Patient?_text=nonsense OR crutch -> p1
Patient?_content=annie -> p1
Patient?_content=paulo -> p1 p2
Observation?_content=drawn twice -> t-1
Patient?_filter=gender eq female -> p1
Patient?_filter=gender ne female -> p2 p3
Patient?_filter=not (gender eq female) -> p2 p3 p4
Patient?_filter=family eq smith -> p2
Patient?_filter=family eq "de la cruz" -> p4
Patient?_filter=family sw "mu" -> p1 p2
Patient?_filter=family co "cruz" -> p4
Patient?_filter=family ew "cruz" -> p4
Patient?_filter=birthdate eq 1971-03-09 -> p1
Patient?_filter=birthdate gt 1971-03-09 -> p2 p3
Patient?_filter=birthdate ge 1971-03 and gender eq male -> p2
Patient?_filter=(gender eq male or gender eq other) and active eq false -> p2
Patient?_filter=birthdate pr false -> p4
Patient?_filter=birthdate pr true -> p1 p2 p3
Patient?_filter=identifier eq urn:oid:1.2.3|MRN-1 -> p1
Patient?_filter=organization re Organization/org2 -> p1
Patient?_filter=organization.name sw "weir" -> p1
Patient?_filter=_id eq p1 -> p1
Observation?_filter=code in ValueSet/v1 -> t-1
Observation?_filter=code eq A and code ni ValueSet/v1 -> t-3
Observation?_filter=code sb urn:tree|poodle -> h-animal h-dog h-poodle
Observation?_filter=code ss urn:tree|dog -> h-dog h-poodle
Observation?_filter=value-quantity gt 140 and code eq number100 -> q-149
Observation?_filter=code eq date and date eq 2019-06-15 -> d-day d-minute d-milli
Observation?_filter=code eq date and date po 2019-06-15 -> d-year d-month d-day d-minute d-milli d-period
Observation?_filter=code eq date and date sa 2019-06-15 -> d-zone d-since
Observation?_filter=code eq date and date eb 2019-06-15 -> d-until d-timing d-bounds d-instant
Observation?_filter=component-code-value-quantity[component-code eq 8480-6].component-value-quantity gt 140 -> t-2
Patient?_filter=gender -> 400
Patient?_filter=gender zz female -> 400
Patient?_filter=(gender eq female -> 400
Patient?_filter=nonsense eq 1 -> 400
Patient?_filter=gender eq female and birthdate eq junk -> 400
Patient?gender=female&_filter=family sw m -> p1
"""

COMPARTMENTS = """
Patient/p1/Observation? -> t-1 t-3 t-7
Patient/p1/Observation?code=A -> t-1 t-3
Patient/p2/Observation? -> t-2
Patient/p1/Condition?code=44054006 -> c1
Patient/p1/Encounter? -> e1
Patient/p2/Encounter? -> e2
Patient/p1/DocumentReference? -> doc1
Patient/p1/Observation?patient=p2 ->
Patient/p1/Observation?nonsense=1 -> 400
Patient/p3/Group? -> g1
Organization/org1/Patient? -> 400
Location/near/Encounter? -> 400
"""

ACROSS_TYPES = """
?_type=Patient&_id=p1 -> p1
?_type=Patient,Observation&_id=p1,t-1 -> p1 t-1
?_id=p1,t-1,org1 -> p1 t-1 org1
?_type=Patient,Organization&name=weir -> org2 org3
?_type=Patient,Practitioner&family=al -> dr1
?_type=Patient,Observation&_tag=gold -> p1 p4
?_tag=gold -> p1 p4
?_type=Encounter,Condition&subject=Patient/p1 -> e1 c1
?_type=Observation,Condition&code=A,44054006 -> t-1 t-3 c1
?_type=Nonsense -> 400
?_type=Patient,Observation&birthdate=1971 -> 400
?name=weir -> 400
"""

EMPTY = """
Patient?_id=p1&gender= -> p1
Patient?_id=p1&gender -> p1
Patient?_id=p1&active:missing= -> p1
Patient?_id=p1&organization.name= -> p1
Patient?_id=p1&_has:Observation:patient:code= -> p1
Patient?_id=p1&_count=&_sort=&_include=&_filter= -> p1
Patient?_id=p1&nonsense= -> p1
Patient?_id=p1&&family=& -> p1
"""
"""search.html#errors: a parameter without a value is no error; it is ignored."""

REFUSED = """
Patient?nonsense=1 -> 400
Patient?Name=smith -> 400
Patient?family:nonsense=x -> 400
Patient?gender:exact=male -> 400
Patient?gender:contains=male -> 400
Patient?birthdate:exact=1971 -> 400
Patient?birthdate:not=1971 -> 400
Patient?family:not=x -> 400
Patient?family:below=x -> 400
Patient?family:in=x -> 400
Patient?name:Patient=x -> 400
Patient?birthdate:contains=1971 -> 400
Patient?active:missing=maybe -> 400
Patient?birthdate=junk -> 400
Patient?birthdate=1971-13 -> 400
Patient?birthdate=1971-02-30 -> 400
Patient?birthdate=71 -> 400
Patient?birthdate=19710309 -> 400
Patient?birthdate=xx1971 -> 400
Patient?birthdate=gt -> 400
Patient?birthdate=1971-3-9 -> 400
Patient?birthdate=1971-03-09T -> 400
Patient?birthdate=1971-03-09T25:00Z -> 400
RiskAssessment?probability=abc -> 400
RiskAssessment?probability=1,5x -> 400
RiskAssessment?probability=gt -> 400
RiskAssessment?probability=NaN -> 400
RiskAssessment?probability=0x10 -> 400
RiskAssessment?probability:exact=0.8 -> 400
Observation?value-quantity=abc -> 400
Observation?value-quantity=5|mg -> 400
Observation?value-quantity=|http://unitsofmeasure.org|mg -> 400
Observation?value-quantity=zz5 -> 400
Observation?code=| -> 400
Observation?code:below=A -> 400
Observation?subject:exact=p1 -> 400
Observation?subject:contains=p1 -> 400
ValueSet?url:exact=x -> 400
ValueSet?url:contains=x -> 400
Patient?_id:exact=p1 -> 400
Patient?_lastUpdated=junk -> 400
Patient?_sort=nonsense -> 400
Patient?_count=abc -> 400
Patient?_summary=text&_include=Patient:organization -> 400
Patient?_count=-1 -> 400
Patient?_summary=maybe -> 400
Patient?_total=maybe -> 400
Patient?_include=Patient:nonsense -> 400
Patient?_include=Patient:name -> 400
Patient?_include=Nonsense:organization -> 400
Patient?_include=Patient -> 400
Patient?_revinclude=Observation:nonsense -> 400
Patient?_include=Patient:organization:Medication -> 400
Patient?_include:nonsense=Patient:organization -> 400
"""

TABLES = {name: text for name, text in list(globals().items()) if name.isupper()}
"""Questions whose answers are ids in any order, or the status of a refusal."""

INCLUDES = """
Patient?_id=p1&_include=Patient:organization -> p1 + org2
Patient?_include=Patient:organization -> p1 p2 p3 p4 + org1 org2
Patient?_include=Patient:organization&_include=Patient:general-practitioner -> p1 p2 p3 p4 + org1 org2 dr1
Patient?_id=p1&_include=Patient:general-practitioner:Practitioner -> p1 + dr1
Patient?_id=p1&_include=Patient:general-practitioner:Organization -> p1 +
Patient?_id=p1&_include=* -> p1 + org2 dr1 p2
Patient?_id=p1&_include=Patient:* -> p1 + org2 dr1 p2
Patient?_id=p1&_include=Observation:subject -> p1 +
Patient?_id=p1&_include=Patient:organization&_include=Organization:partof -> p1 + org2
Patient?_id=p1&_include=Patient:organization&_include:iterate=Organization:partof -> p1 + org2 org1
Patient?_id=p1&_include=Patient:organization&_include:recurse=Organization:partof -> p1 + org2 org1
Patient?_id=p1,p2&_include=Patient:link -> p1 p2 +
Patient?_id=p4&_include=Patient:organization -> p4 +
Patient?_id=nobody&_include=Patient:organization -> +
Organization?_id=org3&_include=Organization:partof -> org3 + org2
Organization?_id=org3&_include:iterate=Organization:partof -> org3 + org2 org1
Organization?_include:iterate=Organization:partof -> org1 org2 org3 +
Organization?_id=org1&_revinclude=Organization:partof -> org1 + org2
Organization?_id=org1&_revinclude:iterate=Organization:partof -> org1 + org2 org3
Organization?_id=org2&_include=Organization:partof&_revinclude=Organization:partof -> org2 + org1 org3
Patient?_id=p1&_revinclude=Observation:patient -> p1 + t-1 t-3 t-7
Patient?_id=p1&_revinclude=Observation:subject&_revinclude=Condition:patient -> p1 + t-1 t-3 t-7 c1
Patient?_id=p1&_revinclude=Observation:subject:Patient -> p1 + t-1 t-3 t-7
Patient?_id=p1&_revinclude=Observation:subject:Group -> p1 +
Patient?_id=p1&_revinclude=Observation:* -> p1 + t-1 t-3 t-7
Patient?_id=p1&_revinclude=Provenance:target -> p1 + pv1
Patient?_id=p1&_revinclude=Observation:patient&_include:iterate=Observation:performer -> p1 + t-1 t-3 t-7 dr1
Patient?_id=p2&_revinclude=Encounter:patient&_revinclude:iterate=Observation:encounter -> p2 + e2
Patient?_id=p1&_revinclude=Encounter:patient&_revinclude:iterate=Condition:encounter -> p1 + e1 c1
Observation?_id=t-5&_include=Observation:subject -> t-5 +
Observation?_id=t-6&_include=Observation:subject -> t-6 +
Observation?_id=t-7&_include=Observation:subject -> t-7 + p1
Observation?_id=t-7&_include=Observation:patient -> t-7 + p1
Observation?_id=t-8&_include=Observation:performer -> t-8 +
Observation?_id=t-4&_include=Observation:subject -> t-4 + g1
Observation?_id=t-4&_include=Observation:subject:Patient -> t-4 +
Observation?_id=t-4&_include=Observation:has-member&_include:iterate=Observation:subject -> t-4 + t-1 g1 p1
Observation?_id=t-1,t-4&_include=Observation:has-member -> t-1 t-4 +
List?_id=l1&_include=List:item -> l1 + p1 p2 p3 t-1
?_type=Patient,Organization&_id=p1,org3&_include=Patient:organization&_include=Organization:partof -> p1 org3 + org2
Patient/p1/Observation?code=A&_include=Observation:performer -> t-1 t-3 + dr1
QuestionnaireResponse?_id=qr1&_include=QuestionnaireResponse:questionnaire -> qr1 + qn
QuestionnaireResponse?_id=qr2&_include=QuestionnaireResponse:questionnaire -> qr2 + qn
QuestionnaireResponse?_id=qr3&_include=QuestionnaireResponse:questionnaire -> qr3 +
"""
"""`hits + included`."""

SORTS = """
Patient?_sort=birthdate -> p2 p3 p1 p4
Patient?_sort=-birthdate -> p2 p3 p1 p4
Patient?_sort=family -> p4 p2 p1 p3
Patient?_sort=-family -> p2 p3 p1 p4
Patient?_sort=gender -> p1 p2 p3 p4
Patient?_sort=-gender -> p3 p2 p1 p4
Patient?_sort=_id -> p1 p2 p3 p4
Patient?_sort=-_id -> p4 p3 p2 p1
Patient?_sort=gender,-_id -> p1 p2 p3 p4
Patient?_sort=address-country,-_id -> p1 p2 p4 p3
Patient?_sort=active,-_id -> p2 p1 p4 p3
Patient?active:missing=true&_sort=active,_id -> p3 p4
Patient?_sort=death-date,_id -> p2 p1 p3 p4
Observation?code=number100&_sort=value-quantity -> q-99.6 q-100 q-100.004 q-100.4 q-100.5 q-149
Observation?code=number100&_sort=-value-quantity -> q-149 q-100.5 q-100.4 q-100.004 q-100 q-99.6
Observation?code=A,a&_sort=date -> t-1 t-3 t-2
Observation?code=A,a&_sort=-date -> t-2 t-3 t-1
Observation?code=A,a&_sort=status,-date -> t-3 t-2 t-1
RiskAssessment?_sort=probability -> r-0.8 r-0.84 r-0.85 r-range r-high
RiskAssessment?_sort=-probability -> r-high r-range r-0.85 r-0.84 r-0.8
ValueSet?_sort=url,version -> v1 v2 v3 v5 v4
ValueSet?_sort=-url,-version -> v4 v5 v3 v2 v1
"""
"""Ids in the order of the hits."""
