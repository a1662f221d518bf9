// Many devices on one connection, by rhea: each puts its token to $cbs and then opens its link, as a gateway would.
'use strict';

const rhea = require('rhea');
const { plan, say, fail, tls } = require('./plan');

const CBS = '$cbs';
const unfinished = new Set(Object.keys(plan.tokens));
let connection = null;
let session = null;

/** One device is done; with the last one the connection closes. */
function finish(device) {
  unfinished.delete(device);
  if (unfinished.size === 0) connection.close();
}

function put(sender, device) {
  sender.send({
    message_id: device,
    reply_to: 'cbs',
    application_properties: {
      operation: 'put-token',
      type: 'servicebus.windows.net:sastoken',
      name: `${plan.hub}/devices/${device}`,
    },
    body: plan.tokens[device],
  });
}

function send(device) {
  const sender = session.open_sender(`/devices/${device}/messages/events`);
  let unsettled = plan.messages.length;
  sender.once('sendable', () => {
    for (const entry of plan.messages) {
      sender.send({ message_id: entry.id, body: rhea.message.data_section(Buffer.from(entry.body)) });
    }
  });
  sender.on('accepted', () => {
    say('accepted', { device });
    unsettled -= 1;
    if (unsettled === 0) finish(device);
  });
  sender.on('sender_error', () => {
    say('refused', { device, condition: sender.error.condition });
    finish(device);
  });
}

rhea.on('connection_open', () => {
  say('open');
  session = connection.create_session();
  session.begin();
  const receiver = session.open_receiver(CBS);
  receiver.on('message', (context) => {
    const device = context.message.correlation_id;
    say('token', { device, status: context.message.application_properties['status-code'] });
    send(device); // also without a good token: the refusal of its link is what is asked
  });
  const sender = session.open_sender(CBS);
  sender.once('sendable', () => Object.keys(plan.tokens).forEach((device) => put(sender, device)));
});
rhea.on('connection_close', () => say('closed'));
rhea.on('connection_error', (context) => fail(context.connection.error || context.error));
rhea.on('disconnected', (context) => {
  if (context.error) fail(context.error);
  process.exit();
});

connection = rhea.connect({ ...tls(), transport: 'tls', host: plan.host, port: plan.port, servername: '', reconnect: false, username: 'anonymous' });
