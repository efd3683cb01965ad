// The same mapping by @segment/actions-core: rows as JSON lines in, seconds for all records and the first records out.
const { readFileSync } = require('node:fs')
const { transform } = require('@segment/actions-core')

const [, , file, count, repetitions] = process.argv
const rows = readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line))
const mapping = {
  userId: { '@path': '$.id' },
  traits: {
    email: { '@path': '$.email' },
    firstName: { '@path': '$.first_name' },
    lastName: { '@path': '$.last_name' },
    plan: { '@path': '$.plan' },
    mrr: { '@path': '$.mrr_cents' },
    active: { '@path': '$.active' }
  },
  source: 'warehouse'
}

const seconds = []
for (let repetition = 0; repetition < Number(repetitions); repetition++) {
  let bytes = 0
  const since = process.hrtime.bigint()
  for (let n = 0; n < Number(count); n++) bytes += JSON.stringify(transform(mapping, rows[n % rows.length])).length
  seconds.push(Number(process.hrtime.bigint() - since) / 1e9)
  if (bytes === 0) throw new Error('nothing was mapped')
}
const first = rows.map((row) => JSON.stringify(transform(mapping, row)))
console.log(JSON.stringify({ seconds, first, rss_mib: process.resourceUsage().maxRSS / 1024 }))
