// A hub of another make, by rhea: takes tokens and telemetry, for what the gateway sends on behalf of its devices.
'use strict';

const fs = require('fs');
const https = require('https');
const rhea = require('rhea');
const { WebSocketServer } = require('ws');
const { plan, say, fail } = require('./plan');

const CBS = '$cbs';

/** MSSBCBS shows nothing yet: the tokens follow. */
rhea.sasl_server_mechanisms.MSSBCBS = () => ({ start() { this.outcome = true; } });
rhea.sasl_server_mechanisms.enable_anonymous();

const answers = new Map(); // the sending link of $cbs, by connection

function onToken(context) {
  const request = context.message;
  const { name } = request.application_properties;
  const status = (plan.refused || []).some((device) => name.endsWith(`/${device}`)) ? 401 : 200;
  say('token', { name, status, token: request.body });
  answers.get(context.connection).send({
    correlation_id: request.message_id,
    application_properties: { 'status-code': rhea.types.wrap_int(status), 'status-description': status === 200 ? 'OK' : 'no' },
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

const tls = { cert: fs.readFileSync(plan.certificate), key: fs.readFileSync(plan.certificate_key) };
const links = { receiver_options: { credit_window: 100, autoaccept: true } };
const where = { host: plan.host, port: plan.port };

/** AMQP inside WebSocket, by the `ws` package; says what was asked for. */
function listenForWebSocket() {
  const web = https.createServer(tls);
  const sockets = new WebSocketServer({ server: web });
  sockets.on('connection', (socket, request) => {
    say('websocket', { path: request.url, subprotocol: socket.protocol });
    rhea.websocket_accept(socket, links);
  });
  return web.listen(where);
}

const server = plan.websocket ? listenForWebSocket() : rhea.listen({ transport: 'tls', ...where, ...tls, ...links });
server.on('listening', () => say('ready'));
server.on('error', fail);
