// A device by azure-iot-provisioning-device: registers over the transport of the plan, with a symmetric key or a
// certificate; then connects to the hub it was given, over MQTT, and sends one message.
'use strict';

const fs = require('fs');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');
const { Client, Message, X509AuthenticationProvider } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { plan, say, fail } = require('./plan');

const TRANSPORTS = {
  mqtt: () => new (require('azure-iot-provisioning-device-mqtt').Mqtt)(),
  'mqtt-ws': () => new (require('azure-iot-provisioning-device-mqtt').MqttWs)(),
  amqp: () => new (require('azure-iot-provisioning-device-amqp').Amqp)(),
  'amqp-ws': () => new (require('azure-iot-provisioning-device-amqp').AmqpWs)(),
  http: () => new (require('azure-iot-provisioning-device-http').Http)(),
};

function certificate() {
  return { cert: fs.readFileSync(plan.certificate, 'utf8'), key: fs.readFileSync(plan.certificate_key, 'utf8') };
}

function makeSecurity() {
  if (plan.certificate) return new X509Security(plan.registration, certificate());
  return new SymmetricKeySecurityClient(plan.registration, plan.key);
}

function makeDevice(state) {
  if (plan.certificate) {
    const who = { host: state.assignedHub, deviceId: state.deviceId };
    return Client.fromAuthenticationProvider(new X509AuthenticationProvider(who), Mqtt);
  }
  const parts = [`HostName=${state.assignedHub}`, `DeviceId=${state.deviceId}`, `SharedAccessKey=${plan.key}`];
  if (plan.gateway) parts.push(`GatewayHostName=${plan.gateway}`);
  return Client.fromConnectionString(parts.join(';'), Mqtt);
}

function register() {
  const client = ProvisioningDeviceClient.create(plan.host, plan.scope, TRANSPORTS[plan.transport](), makeSecurity());
  if (plan.payload) client.setProvisioningPayload(plan.payload);
  return new Promise((done, refused) => {
    client.register((error, state) => (error ? refused(error) : done(state)));
  });
}

async function main() {
  let state;
  try {
    state = await register();
  } catch (error) {
    say('refused', { name: error.name, message: error.message, result: error.result || null });
    say('closed');
    process.exit(0); // the transports leave their sockets open after a refusal
  }
  say('assigned', { state });
  const device = makeDevice(state);
  device.setRetryPolicy({ shouldRetry: () => false, nextRetryTimeout: () => 0 }); // a refusal is to be seen
  if (plan.certificate) await device.setOptions(certificate());
  await device.open();
  await device.sendEvent(new Message('hello'));
  await device.close();
  say('closed');
  process.exit(0);
}

main().catch(fail);
