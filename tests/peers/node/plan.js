// What all programs here share. The plan comes on stdin, in JSON; each thing that happens is one line of JSON.
'use strict';

const fs = require('fs');

const plan = JSON.parse(fs.readFileSync(0, 'utf8'));

/** Say that `event` has happened. Pipes are written at once on Linux, so a line is never lost by exit. */
function say(event, more) {
  process.stdout.write(JSON.stringify({ event, ...more }) + '\n');
}

/** Say what was wrong, by the names the SDK or AMQP gives it, and end. */
function fail(error) {
  const name = error.name || 'Error';
  say('failed', { name, condition: error.condition || null, message: String(error.message || error.description || error) });
  process.exit(1);
}

process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

/** The TLS options that the plan asks for: our own root, and the device's certificate if it has one. */
function tls() {
  const options = { ca: fs.readFileSync(plan.ca, 'utf8') };
  if (plan.certificate) {
    options.cert = fs.readFileSync(plan.certificate, 'utf8');
    options.key = fs.readFileSync(plan.certificate_key, 'utf8');
  }
  return options;
}

module.exports = { plan, say, fail, tls };
