// A hub of another make, by rhea: takes tokens and telemetry, for what the gateway sends on behalf of its devices. What
// `plan.messages`, `plan.calls` and `plan.desired` have for a device goes as soon as its link is there.
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

const twins = new Map(); // the sending link to a device's twin, by its address

/** The device and the kind of an address, undefined for another. */
const place = (address) => /^\/devices\/([^/]+)\/(messages\/devicebound|methods\/devicebound|twin)$/.exec(address) || [];

function sayLink(context, what, link) {
  const { properties, snd_settle_mode: snd, rcv_settle_mode: rcv } = link.remote.attach;
  say('link', { role: what, address: what === 'sender' ? link.source.address : link.target.address,
    channel: properties['com.microsoft:channel-correlation-id'], version: properties['com.microsoft:api-version'], snd, rcv });
}

/** All that waits for a device on this link. */
function feed(sender) {
  const [, device, kind] = place(sender.source.address);
  if (kind === 'messages/devicebound') {
    for (const body of (plan.messages || {})[device] || []) {
      const message_annotations = { 'x-opt-lock-token': rhea.generate_uuid(), 'iothub-deliverycount': rhea.types.wrap_ubyte(1) };
      sender.send({ message_id: `of ${body}`, message_annotations, application_properties: { a: 'b' },
        body: rhea.message.data_section(Buffer.from(body)) });
    }
  } else if (kind === 'methods/devicebound') {
    for (const [name, payload] of (plan.calls || {})[device] || []) {
      sender.send({ correlation_id: rhea.string_to_uuid(rhea.generate_uuid()), application_properties: { 'IoThub-methodname': name },
        body: rhea.message.data_section(Buffer.from(payload)) });
    }
  } else if (kind === 'twin') {
    twins.set(sender.source.address, sender);
  }
}

function onTwin(message, address) {
  const { operation, resource } = message.message_annotations;
  const body = Buffer.from(message.body.content).toString();
  say('twin', { address, operation, resource, body });
  const answer = operation === 'GET' ? '{"desired":{"$version":1},"reported":{"$version":1}}' : '';
  const sender = twins.get(address);
  sender.send({ correlation_id: message.correlation_id,
    message_annotations: { status: rhea.types.wrap_int(operation === 'PATCH' ? 204 : 200), version: rhea.types.wrap_long(7) },
    body: rhea.message.data_section(Buffer.from(answer)) });
  if (operation !== 'PUT') return;
  for (const patch of (plan.desired || {})[place(address)[1]] || []) {
    sender.send({ message_annotations: { resource: '/notifications/twin/properties/desired' },
      body: rhea.message.data_section(Buffer.from(patch)) });
  }
}

function onAnswer(message, address) {
  say('answer', { address, status: message.application_properties['IoThub-status'],
    body: Buffer.from(message.body.content).toString() });
}

/** All sections of a message but its body, and the body as text. */
function onMessage(message, address, format) {
  const { body, ...sections } = message;
  say('message', { address, format, sections, body: Buffer.from(body.content).toString() });
}

rhea.on('receiver_open', (context) => {
  context.receiver.set_source(context.receiver.remote.attach.source || {});
  context.receiver.set_target(context.receiver.remote.attach.target);
  if (place(context.receiver.target.address)[1]) sayLink(context, 'receiver', context.receiver);
});
rhea.on('sender_open', (context) => {
  context.sender.set_source(context.sender.remote.attach.source);
  context.sender.set_target(context.sender.remote.attach.target || {});
  if (context.sender.source.address === CBS) answers.set(context.connection, context.sender);
  else sayLink(context, 'sender', context.sender);
});
rhea.on('sendable', (context) => {
  if (context.sender.fed || !place(context.sender.source.address)[1]) return;
  context.sender.fed = true;
  feed(context.sender);
});
for (const outcome of ['accepted', 'rejected', 'released']) {
  rhea.on(outcome, (context) => {
    if (place(context.sender.source.address)[2] === 'messages/devicebound') say('settled', { outcome });
  });
}
rhea.on('message', (context) => {
  const { address } = context.receiver.target;
  if (address === CBS) {
    onToken(context);
  } else if (place(address)[2] === 'twin') {
    onTwin(context.message, address);
  } else if (place(address)[1]) {
    onAnswer(context.message, address);
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
