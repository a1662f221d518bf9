"""The way to the cloud and to other modules: proxies, forwarders, the module's own twin and methods.

A `MessageProxy` keeps one link up and hands messages over it; a `Forwarder` per endpoint moves its backlog through a
proxy. `ModuleProxy` speaks as this module, by azure-iot-device, `AmqpProxy` as each device, by our own AMQP; where
there are both, `SplitProxy` chooses for each message. `Back` keeps what comes down for devices beside `AmqpProxy`.

Invariants:
- an entry is settled in the store only after the other end acknowledged it, or will never take it (and then an event
  of level error names it);
- messages of one sender and priority arrive in order: after a failure all is resumed from the lowest unacknowledged;
- duplicates carry the same message id;
- what the cloud has for a device is settled or answered there only by the device's word, and never kept here;
- a link that acknowledges nothing while messages wait is torn down and built anew; nothing polls while offline.

Entry points: `proxy.MessageProxy`, `module_proxy.ModuleProxy`, `amqp_proxy.AmqpProxy`, `split.SplitProxy`,
`forwarder.Forwarder`, `methods.ModuleMethods`, `amqp_voucher.AmqpVoucher`, `amqp_back.Back`.
"""
