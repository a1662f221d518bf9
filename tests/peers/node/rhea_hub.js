// A hub of another make, by rhea: takes tokens and telemetry, for what the gateway sends on behalf of its devices.
'use strict';

const fs = require('fs');
const rhea = require('rhea');
const { plan, say, fail } = require('./plan');

const CBS = '$cbs';

/** MSSBCBS shows nothing yet: the tokens follow. */
rhea.sasl_server_mechanisms.MSSBCBS = () => ({ start() { this.outcome = true; } });
rhea.sasl_server_mechanisms.enable_anonymous();

const answers = new Map(); // the sending link of $cbs, by connection

function onToken(context) {
  const request = context.message;
  say('token', { name: request.application_properties.name, token: request.body });
  answers.get(context.connection).send({
    correlation_id: request.message_id,
    application_properties: { 'status-code': rhea.types.wrap_int(200), 'status-description': 'OK' },
    body: '',
  });
}

/** All sections of a message but its body, and the body as text. */
function onMessage(message, address, format) {
  const { body, ...sections } = message;
  say('message', { address, format, sections, body: Buffer.from(body.content).toString() });
}

rhea.on('receiver_open', (context) => {
  context.receiver.set_source(context.receiver.remote.attach.source || {});
  context.receiver.set_target(context.receiver.remote.attach.target);
});
rhea.on('sender_open', (context) => {
  context.sender.set_source(context.sender.remote.attach.source);
  context.sender.set_target(context.sender.remote.attach.target || {});
  if (context.sender.source.address === CBS) answers.set(context.connection, context.sender);
});
rhea.on('message', (context) => {
  const { address } = context.receiver.target;
  if (address === CBS) {
    onToken(context);
  } else if (context.format) { // rhea reads only format 0: a batch comes as bytes, each data section a message
    const sections = rhea.message.decode(context.message).body;
    const parts = sections.multiple ? sections.content : [sections.content];
    parts.forEach((part) => onMessage(rhea.message.decode(part), address, context.format));
  } else {
    onMessage(context.message, address, 0);
  }
});
rhea.on('connection_error', (context) => say('closed', { error: String(context.connection.error) }));
rhea.on('protocol_error', fail);
rhea.on('error', fail);
rhea.on('disconnected', () => say('disconnected'));

const server = rhea.listen({
  transport: 'tls',
  host: plan.host,
  port: plan.port,
  cert: fs.readFileSync(plan.certificate),
  key: fs.readFileSync(plan.certificate_key),
  receiver_options: { credit_window: 100, autoaccept: true },
});
server.on('listening', () => say('ready'));
server.on('error', fail);
