// A sender by rhea alone: SASL PLAIN with user and password, EXTERNAL with a certificate, over TLS or WebSocket.
'use strict';

const rhea = require('rhea');
const { WebSocket } = require('ws');
const { plan, say, fail, tls } = require('./plan');

const waiting = [...plan.messages];
let unsettled = waiting.length;

function options() {
  const common = { ...tls(), reconnect: false, idle_time_out: plan.idle_ms };
  if (plan.user) Object.assign(common, { username: plan.user, password: plan.password });
  if (plan.certificate) common.enable_sasl_external = true;
  if (!plan.websocket) return { ...common, transport: 'tls', host: plan.host, port: plan.port, servername: '' };
  const connect = rhea.websocket_connect(WebSocket);
  const details = connect(`wss://${plan.host}:${plan.port}${plan.path}`, plan.subprotocols, tls());
  return { ...common, connection_details: details };
}

rhea.on('connection_open', () => say('open'));
rhea.on('sendable', (context) => {
  while (waiting.length && context.sender.sendable()) {
    const entry = waiting.shift();
    context.sender.send({
      message_id: entry.id,
      content_type: entry.content_type,
      content_encoding: entry.content_encoding,
      application_properties: entry.properties,
      body: rhea.message.data_section(Buffer.from(entry.body)),
    });
  }
});
rhea.on('accepted', (context) => {
  say('accepted');
  unsettled -= 1;
  if (unsettled === 0) context.connection.close();
});
rhea.on('rejected', (context) => {
  const error = context.delivery.remote_state.error;
  say('failed', { name: 'rejected', condition: error.condition, message: error.description });
  process.exitCode = 1;
  context.connection.close();
});
rhea.on('connection_close', () => { say('closed'); });
rhea.on('sender_error', (context) => fail(context.sender.error));
rhea.on('connection_error', (context) => fail(context.connection.error || context.error));
rhea.on('disconnected', (context) => {
  if (context.error) fail(context.error);
  process.exit();
});

rhea.connect(options()).open_sender(plan.address);
