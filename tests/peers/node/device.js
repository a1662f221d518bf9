// A device or module by azure-iot-device over `plan.transport` (AMQP if it names none): sends all messages of the plan, then,
// as asked, reads its twin, reports, and waits for each kind in `plan.await`: messages, settled as `plan.settle` says in
// turn (complete if it says nothing), one input, method or desired patch. `plan.invoke` calls a method of another module.
// With `plan.retries` it connects again by itself, as it would without us.
'use strict';

const { Client, ModuleClient, Message, X509AuthenticationProvider } = require('azure-iot-device');
const { plan, say, fail, tls } = require('./plan');

const TRANSPORTS = {
  amqp: () => require('azure-iot-device-amqp').Amqp,
  'amqp-ws': () => require('azure-iot-device-amqp').AmqpWs,
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  'mqtt-ws': () => require('azure-iot-device-mqtt').MqttWs,
};

function makeClient() {
  const Kind = plan.module ? ModuleClient : Client;
  const transport = TRANSPORTS[plan.transport || (plan.websocket ? 'amqp-ws' : 'amqp')]();
  if (plan.certificate) { // a connection string with x509=true loses its GatewayHostName in the SDK
    const who = { host: plan.hub, deviceId: plan.device, gatewayHostName: plan.gateway };
    return Kind.fromAuthenticationProvider(new X509AuthenticationProvider(who), transport);
  }
  const parts = [`HostName=${plan.hub}`, `DeviceId=${plan.device}`, `SharedAccessKey=${plan.key}`];
  if (plan.module) parts.push(`ModuleId=${plan.module}`);
  if (plan.gateway) parts.push(`GatewayHostName=${plan.gateway}`);
  return Kind.fromConnectionString(parts.join(';'), transport);
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

function send(client, entry) {
  return plan.output ? client.sendOutputEvent(plan.output, toMessage(entry)) : client.sendEvent(toMessage(entry));
}

/** By which call of its transport the SDK subscribes to each kind. */
const ENABLES = {
  message: 'enableC2D', input: 'enableInputMessages', method: 'enableMethods', desired: 'enableTwinDesiredPropertiesUpdates',
};

/** One promise for each kind that is awaited: the other side has answered. The SDK tells its users of failures alone. */
function subscriptions(client) {
  const transport = client._transport;
  return (plan.await || []).map((kind) => new Promise((done, refused) => {
    const enable = transport[ENABLES[kind]].bind(transport);
    transport[ENABLES[kind]] = (callback) => enable((error, ...more) => {
      if (!error) done();
      else if (!plan.retries) refused(error);
      callback(error, ...more);
    });
  }));
}

const settlements = [...(plan.settle || ['complete'])];
let unsettled = settlements.length;
let turn = 0;

/** One promise for each kind that is awaited; the handlers are set when this returns. */
function waitFor(client, twin) {
  const arrivals = {
    message: (done) => client.on('message', (message) => {
      say('message', { body: message.data.toString(), id: message.messageId, properties: message.properties.propertyList });
      const action = settlements.shift();
      setTimeout(() => client[action](message, (error) => {
        if (error) return fail(error);
        say('settled', { action });
        unsettled -= 1; // not of what has come: its settlement may still be in its turn
        return unsettled || done();
      }), 5 * turn++); // each in a turn of its own: the SDK's rhea writes two outcomes of one turn as two of the first
    }),
    input: (done) => client.on('inputMessage', (input, message) => {
      say('input', { input, body: message.data.toString() });
      client.complete(message, (error) => (error ? fail(error) : done()));
    }),
    method: (done) => {
      const handler = (request, response) => {
        say('method', { name: request.methodName, payload: request.payload });
        response.send(207, { got: request.payload }, (error) => (error ? fail(error) : done()));
      };
      if (plan.module) client.onMethod(plan.method, handler);
      else client.onDeviceMethod(plan.method, handler);
    },
    desired: (done) => twin.on('properties.desired', (patch) => {
      if (!('$version' in patch) || patch.$version <= plan.known_version) return; // what is there already comes first
      say('desired', { patch });
      done();
    }),
  };
  return (plan.await || []).map((kind) => new Promise((done) => arrivals[kind](done)));
}

async function main() {
  const client = makeClient();
  if (!plan.retries) client.setRetryPolicy({ shouldRetry: () => false, nextRetryTimeout: () => 0 }); // a refusal is to be seen
  client.on('error', (error) => say('client error', { name: error.name, message: error.message }));
  await client.setOptions(tls());
  await client.open();
  say('open');
  for (const entry of plan.messages || []) {
    await send(client, entry);
    say('accepted');
  }
  let twin = null;
  if (plan.twin) {
    twin = await client.getTwin();
    say('twin', { desired: twin.properties.desired, reported: twin.properties.reported });
  }
  if (plan.report) {
    await new Promise((done, refused) => twin.properties.reported.update(plan.report, (error) => (error ? refused(error) : done())));
    say('reported');
  }
  if (plan.invoke) {
    const { device, module, method, payload } = plan.invoke;
    const call = { methodName: method, payload, responseTimeoutInSeconds: 20, connectTimeoutInSeconds: 10 };
    say('result', { result: await client.invokeMethod(device, module, call) });
  }
  const subscribed = subscriptions(client);
  const awaited = waitFor(client, twin);
  await Promise.all(subscribed);
  if (awaited.length) say('listening');
  await Promise.all(awaited);
  await client.close();
  say('closed');
  process.exit(0); // the SDK keeps timers that would hold the process
}

main().catch(fail);
