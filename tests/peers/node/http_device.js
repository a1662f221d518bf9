// A device by azure-iot-device over azure-iot-device-http: sends all messages of the plan, one by one or as one batch,
// then settles what comes from the cloud as `plan.settle` says, in turn. The root is known by NODE_EXTRA_CA_CERTS only:
// the promise of setOptions never settles with this transport.
'use strict';

const fs = require('fs');
const { Client, Message, X509AuthenticationProvider } = require('azure-iot-device');
const { Http } = require('azure-iot-device-http');
const { plan, say, fail } = require('./plan');

const POLL_EVERY_S = 0.25; // a second, if it is not told

function makeClient() {
  if (plan.certificate) {
    const provider = new X509AuthenticationProvider({ host: plan.host, deviceId: plan.device });
    provider.setX509Options({ cert: fs.readFileSync(plan.certificate, 'utf8'), key: fs.readFileSync(plan.certificate_key, 'utf8') });
    return Client.fromAuthenticationProvider(provider, Http);
  }
  return Client.fromConnectionString(`HostName=${plan.host};DeviceId=${plan.device};SharedAccessKey=${plan.key}`, Http);
}

function toMessage(entry) {
  const message = new Message(entry.body);
  if (entry.id) message.messageId = entry.id;
  if (entry.correlation) message.correlationId = entry.correlation;
  if (entry.content_type) message.contentType = entry.content_type;
  if (entry.content_encoding) message.contentEncoding = entry.content_encoding;
  for (const [name, value] of Object.entries(entry.properties || {})) message.properties.add(name, value);
  return message;
}

async function send(client) {
  if (plan.batch) {
    await client.sendEventBatch(plan.messages.map(toMessage));
    say('accepted');
    return;
  }
  for (const entry of plan.messages || []) {
    await client.sendEvent(toMessage(entry));
    say('accepted');
  }
}

/** Settle one message after the other. */
function receive(client, actions) {
  let unsettled = actions.length;
  return new Promise((done, refused) => {
    client.on('message', (message) => {
      say('message', {
        body: message.data.toString(), id: message.messageId, to: message.to, lock: message.lockToken,
        properties: message.properties.propertyList,
      });
      const action = actions.shift();
      if (action === undefined) return; // left to its lock
      client[action](message, (error) => {
        if (error) return refused(error);
        say('settled', { action });
        unsettled -= 1; // not of what has come: its settlement may still be on its way
        if (!unsettled) done();
      });
    });
  });
}

async function main() {
  const client = makeClient();
  client.setRetryPolicy({ shouldRetry: () => false, nextRetryTimeout: () => 0 }); // a refusal is to be seen
  client.on('error', (error) => say('client error', { name: error.name, message: error.message }));
  await client.open();
  say('open');
  await send(client);
  if (plan.settle) {
    await client.setTransportOptions({ interval: POLL_EVERY_S, drain: true });
    say('listening');
    await receive(client, [...plan.settle]);
  }
  say('closed');
  process.exit(0); // the SDK keeps timers that would hold the process
}

main().catch(fail);
