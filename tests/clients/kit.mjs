// fhir-kit-client (npm) against a hub: BASE and KEY come from the environment, one JSON document goes to the output.
import { Client } from "fhir-kit-client";

const client = new Client({ baseUrl: process.env.FHIR_BASE, bearerToken: process.env.FHIR_KEY });
const report = {};
const family = `Kit${Date.now()}${Math.floor(Math.random() * 1e6)}`;
const number = `${Date.now()}-${Math.floor(Math.random() * 1e9)}`;
const person = (more = {}) => ({ resourceType: "Patient", name: [{ family, given: ["Linus"] }], birthDate: "1969-12-28", ...more });
const ids = (bundle) => (bundle.entry ?? []).map((entry) => entry.resource.id);
const status = (answer) => Client.httpFor(answer).response.status;

async function step(name, work) {
  try {
    report[name] = { ok: await work() };
  } catch (problem) {
    report[name] = { failed: problem.message, answer: problem.response?.data };
  }
}

await step("capability", async () => (await client.capabilityStatement()).fhirVersion);
let patient;
await step("create", async () => {
  patient = await client.create({ resourceType: "Patient", body: person({ gender: "male" }) });
  return [status(patient), Client.httpFor(patient).response.headers.get("location") !== null, patient.meta.versionId];
});
const at = () => ({ resourceType: "Patient", id: patient.id });
await step("read", async () => (await client.read(at())).name[0].family === family);
await step("update", async () => (await client.update({ ...at(), body: { ...patient, gender: "other" } })).meta.versionId);
await step("vread", async () => (await client.vread({ ...at(), version: "1" })).gender);
await step("patch", async () => {
  await client.patch({ ...at(), jsonPatch: [{ op: "replace", path: "/gender", value: "female" }] });
  return (await client.read(at())).gender;
});
await step("history", async () => (await client.history(at())).entry.map((entry) => entry.resource.meta.versionId));
await step("type_history", async () => (await client.history({ resourceType: "Patient" })).type);
await step("system_history", async () => (await client.history({})).type);
await step("search_and_pages", async () => {
  for (let count = 0; count < 4; count++) await client.create({ resourceType: "Patient", body: person() });
  let page = await client.search({ resourceType: "Patient", searchParams: { family, _count: 2 } });
  const sizes = [], seen = new Set();
  while (page) {
    sizes.push(ids(page).length);
    ids(page).forEach((id) => seen.add(id));
    page = await client.nextPage({ bundle: page });
  }
  return [sizes, seen.size];
});
await step("post_search", async () => {
  const options = { postSearch: true, headers: { "content-type": "application/x-www-form-urlencoded" } };
  return ids(await client.search({ resourceType: "Patient", searchParams: { family }, options })).length;
});
await step("system_search", async () =>
  ids(await client.search({ searchParams: { _type: "Patient", _id: patient.id } })).length);
await step("compartment_search", async () => {
  await client.create({ resourceType: "Observation", body: {
    resourceType: "Observation", status: "final", code: { text: "kit" }, subject: { reference: `Patient/${patient.id}` } } });
  const compartment = { resourceType: "Patient", id: patient.id };
  return ids(await client.search({ resourceType: "Observation", compartment })).length;
});
await step("conditional_create", async () => {
  const body = person({ identifier: [{ system: "urn:example:kit", value: number }] });
  const options = { headers: { "If-None-Exist": `identifier=urn:example:kit|${number}` } };
  const first = await client.create({ resourceType: "Patient", body, options });
  const second = await client.create({ resourceType: "Patient", body, options });
  return [status(first), status(second)];
});
await step("conditional_update", async () => {
  const body = person({ identifier: [{ system: "urn:example:kit", value: number }], gender: "unknown" });
  const searchParams = { identifier: `urn:example:kit|${number}` };
  return (await client.update({ resourceType: "Patient", searchParams, body })).gender;
});
await step("version_conflict", async () => {
  try {
    await client.update({ ...at(), body: { ...patient, gender: "male" }, options: { headers: { "If-Match": 'W/"1"' } } });
    return "no conflict";
  } catch (problem) {
    return problem.response.status;
  }
});
await step("not_modified", async () => {
  const url = `${process.env.FHIR_BASE}/Patient/${patient.id}`;
  const headers = { authorization: `Bearer ${process.env.FHIR_KEY}` };
  const etag = (await fetch(url, { headers })).headers.get("etag");
  return (await fetch(url, { headers: { ...headers, "if-none-match": etag } })).status;
});
await step("batch", async () => {
  const body = { resourceType: "Bundle", type: "batch", entry: [
    { request: { method: "GET", url: `Patient/${patient.id}` } },
    { request: { method: "GET", url: "Patient/nobody-has-this-id" } },
    { request: { method: "GET", url: `Patient?family=${family}&_count=1` } },
  ] };
  const answer = await client.batch({ body });
  return [answer.type, answer.entry.map((entry) => entry.response.status.slice(0, 3))];
});
await step("transaction", async () => {
  const url = "urn:uuid:0b2c9a44-4f2e-4c7e-9a47-7f0b6d6f9a11";
  const body = { resourceType: "Bundle", type: "transaction", entry: [
    { resource: { resourceType: "Observation", status: "final", code: { text: "joined" }, subject: { reference: url } },
      request: { method: "POST", url: "Observation" } },
    { fullUrl: url, resource: person(), request: { method: "POST", url: "Patient" } },
  ] };
  const answer = await client.transaction({ body });
  return [answer.type, answer.entry.map((entry) => entry.response.status.slice(0, 3))];
});
await step("resolve", async () => {
  const found = await client.search({ resourceType: "Observation", searchParams: { subject: `Patient/${patient.id}` } });
  const observation = found.entry[0].resource;
  return (await client.resolve({ reference: observation.subject.reference, context: observation })).id === patient.id;
});
await step("operation_on_an_instance", async () =>
  (await client.operation({ ...at(), name: "$everything", method: "GET" })).resourceType);
await step("operation_on_a_type", async () =>
  (await client.operation({ resourceType: "Patient", name: "validate", input: person() })).resourceType);
await step("delete", async () => {
  const gone = await client.create({ resourceType: "Patient", body: person() });
  await client.delete({ resourceType: "Patient", id: gone.id });
  try {
    await client.read({ resourceType: "Patient", id: gone.id });
    return "still there";
  } catch (problem) {
    return [problem.response.status, problem.response.data.resourceType];
  }
});
await step("unauthorized", async () => {
  try {
    await new Client({ baseUrl: process.env.FHIR_BASE }).read(at());
    return "let in";
  } catch (problem) {
    return problem.response.status;
  }
});
console.log(JSON.stringify(report));
