// The service side by azure-iothub over HTTPS: does the steps of the plan in turn and says what came of each. A step is
// {on: 'registry' | 'client', call, args} or {query, size}, which reads all pages. HTTPS has the port 443 only.
'use strict';

const { Client, Registry } = require('azure-iothub');
const { plan, say, fail } = require('./plan');

const registry = Registry.fromConnectionString(plan.connection);
const client = Client.fromConnectionString(plan.connection);
const objects = { registry, client };

/** What came, without the HTTP response beside it, and without what an object keeps for itself. */
function told(result) {
  const body = result && result.responseBody !== undefined ? result.responseBody : result && result.result !== undefined ? result.result : result;
  return JSON.parse(JSON.stringify(body === undefined ? null : body, (key, value) => (key.startsWith('_') ? undefined : value)));
}

async function pages(step) {
  const query = registry.createQuery(step.query, step.size);
  const found = [];
  // Without a callback this SDK does not go on by itself: it takes the token it is given, or none.
  while (query.hasMoreResults) found.push(told(await query.next(query.continuationToken)));
  return found;
}

async function run(step) {
  if (step.query) return pages(step);
  return told(await objects[step.on][step.call](...(step.args || [])));
}

async function main() {
  for (const step of plan.steps) {
    try {
      say('did', { result: await run(step) });
    } catch (error) {
      say('refused', { name: error.name, message: error.message, status: error.response ? error.response.statusCode : null });
    }
  }
  say('closed');
  process.exit(0);
}

main().catch(fail);
