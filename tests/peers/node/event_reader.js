// A reader of events by @azure/event-hubs: what there is to read, then one read after the other, each until it has had its events
// or was told that it has no part in them.
'use strict';

// The client asks for Web Crypto as a global, which Debian's Node 18 keeps in a module.
globalThis.crypto ??= require('crypto').webcrypto;
const { EventHubConsumerClient } = require('@azure/event-hubs');
const { plan, say, fail } = require('./plan');

function makeClient() {
  const options = { retryOptions: { maxRetries: 0, timeoutInMs: 15000 } };
  if (plan.websocket) options.webSocketOptions = { webSocket: require('ws') };
  return new EventHubConsumerClient(plan.group || '$Default', plan.connection, options);
}

async function ask(client) {
  const hub = await client.getEventHubProperties();
  say('hub', { name: hub.name, partitions: hub.partitionIds, created_at: hub.createdOn.getTime() });
  for (const id of await client.getPartitionIds()) {
    const found = await client.getPartitionProperties(id);
    say('partition', {
      id: found.partitionId, first: found.beginningSequenceNumber, last: found.lastEnqueuedSequenceNumber,
      offset: String(found.lastEnqueuedOffset), empty: found.isEmpty,
    });
  }
}

function tell(context, event, read) {
  say('read', {
    partition: context.partitionId, body: JSON.stringify(event.body), offset: String(event.offset), number: event.sequenceNumber,
    enqueued_at_ms: event.enqueuedTimeUtc.getTime(), properties: event.properties || {}, system: event.systemProperties || {},
    content_type: event.contentType || null, message_id: event.messageId || null, partition_key: event.partitionKey,
    end: read.track ? { number: context.lastEnqueuedEventProperties.sequenceNumber } : null,
  });
}

function receive(client, read) {
  let left = read.count;
  return new Promise((done) => {
    const handlers = {
      processInitialize: async () => say('reading'),
      processEvents: async (events, context) => {
        for (const event of events) {
          tell(context, event, read);
          left -= 1;
          if (left === 0) done(subscription);
        }
      },
      processError: async (error) => {
        say('read failed', { name: error.name, code: error.code || null, message: error.message });
        done(subscription);
      },
    };
    const options = { startPosition: read.position, maxBatchSize: 100, maxWaitTimeInSeconds: 1 };
    if (read.level !== undefined) options.ownerLevel = read.level;
    if (read.track) options.trackLastEnqueuedEventProperties = true;
    const subscription = read.partition === undefined ? client.subscribe(handlers, options)
      : client.subscribe(read.partition, handlers, options);
  });
}

async function main() {
  const client = makeClient();
  if (plan.ask) await ask(client);
  for (const read of plan.reads || []) await (await receive(client, read)).close();
  await client.close();
  say('closed');
}

main().catch(fail);
