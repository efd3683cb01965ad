// Gives rows to actions of @segment/action-destinations, and says what they would send. Nothing leaves the machine.
//
// Reads from standard input, as JSON: {destination: name, settings, auth, runs: [{action, rows, mapping, features, event, batch, answers}]}
// Writes {actions: [{name, batch}], runs: [{requests: [{method, url, headers, body}], failed}]}
//
// event: new, updated or deleted, as rows come from Segment's reverse ETL; forget: a person's deletion, which is no action.
// batch: all rows at once. An action that cannot do this gets them one by one, as without it.
// answers: [{request: "POST https://…", status, body}], the first that fits counts; else 200 and {}. A request is given by how it begins.
const { readFileSync } = require('node:fs')

const crossFetch = require('cross-fetch')
const { Request, Response } = crossFetch
let requests = []
let answers = []

async function caught(input, init) {
  const request = input instanceof Request ? input : new Request(input, init)
  const body = request.body === null ? '' : await request.text()
  requests.push({ method: request.method, url: request.url, headers: Object.fromEntries(request.headers), body })
  const line = `${request.method} ${request.url}`
  const answer = answers.find((answer) => line.startsWith(answer.request)) ?? {}
  const headers = { 'content-type': 'application/json' }
  return new Response(JSON.stringify(answer.body ?? {}), { status: answer.status ?? 200, headers })
}

// Before the package loads it.
const real = require.cache[require.resolve('cross-fetch')]
real.exports = Object.assign(caught, crossFetch, { default: caught, fetch: caught })
globalThis.fetch = caught
for (const name of ['node:http', 'node:https', 'node:net', 'node:tls']) {
  const module = require(name)
  for (const way of ['request', 'get', 'connect', 'createConnection']) {
    if (module[way]) module[way] = () => { throw new Error('a request that was not caught') }
  }
}

const { Destination } = require('@segment/action-destinations')

async function run(destination, given, run) {
  requests = []
  answers = run.answers ?? []
  const event = (properties, n) => ({
    type: 'track', event: run.event, messageId: `message-${n}`, timestamp: '2026-01-02T03:04:05.000Z', properties
  })
  const bundle = { mapping: run.mapping, settings: given.settings, auth: given.auth, features: run.features }
  const returned = (data) => {
    // What its action hands to Segment's own platform instead of a vendor.
    if (Array.isArray(data?.batch)) requests.push({ method: 'RETURN', url: '', headers: {}, body: JSON.stringify(data) })
  }
  try {
    if (run.event === 'forget') {
      for (const row of run.rows) await destination.onDelete({ type: 'delete', ...row }, { ...given.settings, ...given.auth })
    } else if (run.batch && destination.actions[run.action].hasBatchSupport) {
      const outcomes = await destination.executeBatch(run.action, { ...bundle, events: run.rows.map(event) })
      const wrong = outcomes.find((outcome) => outcome.status >= 400)
      if (wrong) throw new Error(wrong.errormessage)
    } else {
      for (const [n, row] of run.rows.entries()) {
        const results = await destination.executeAction(run.action, { ...bundle, event: event(row, n) })
        returned(results.at(-1)?.data)
      }
    }
    return { requests, failed: null }
  } catch (error) {
    return { requests, failed: String(error?.message ?? error) }
  }
}

async function main() {
  const given = JSON.parse(readFileSync(0, 'utf8'))
  const definition = require(`@segment/action-destinations/dist/destinations/${given.destination}`).default
  const destination = new Destination(definition)
  const runs = []
  for (const one of given.runs) runs.push(await run(destination, given, one))
  const actions = Object.entries(definition.actions).map(([name, action]) => ({ name, batch: Boolean(action.performBatch) }))
  process.stdout.write(JSON.stringify({ actions, runs }))
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1) })
