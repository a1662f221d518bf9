// The service side by azure-iothub over AMQP: sends messages to devices, and waits for as many records of what became of them.
'use strict';

const { Amqp, AmqpWs, Client } = require('azure-iothub');
const { Message } = require('azure-iot-device'); // the service SDK exports none, and takes this one
const { plan, say, fail } = require('./plan');

function makeClient() {
  return Client.fromConnectionString(plan.connection, plan.websocket ? AmqpWs : Amqp);
}

function toMessage(entry) {
  const message = new Message(entry.body);
  if (entry.id) message.messageId = entry.id;
  if (entry.ack) message.ack = entry.ack;
  if (entry.expires_at) message.expiryTimeUtc = entry.expires_at;
  for (const [name, value] of Object.entries(entry.properties || {})) message.properties.add(name, value);
  return message;
}

async function send(client, entry) {
  try {
    await client.send(entry.device, toMessage(entry));
    say('accepted', { device: entry.device });
  } catch (error) {
    const amqp = error.amqpError || {};
    say('refused', { device: entry.device, name: error.name, condition: amqp.condition, description: amqp.description });
  }
}

/** The receiver itself: the promise of the SDK gives something around it. */
function feedbackReceiver(client) {
  return new Promise((done) => client.getFeedbackReceiver((error, receiver) => (error ? fail(error) : done(receiver))));
}

/** One promise for all records that are wanted. */
function waitForFeedback(receiver) {
  let left = plan.records;
  return new Promise((done) => receiver.on('message', (message) => {
    const records = JSON.parse(message.data.toString());
    receiver.complete(message, (error) => {
      if (error) return fail(error);
      for (const record of records) say('record', { record, content_type: message.contentType });
      left -= records.length;
      return left > 0 || done();
    });
  }));
}

async function main() {
  const client = makeClient();
  await client.open();
  const heard = plan.records ? waitForFeedback(await feedbackReceiver(client)) : null;
  for (const entry of plan.messages || []) await send(client, entry);
  await heard;
  await client.close();
  say('closed');
}

main().catch(fail);
