"""The way to the cloud and to other modules: proxies, forwarders, the module's own twin and methods.

A `CloudProxy` keeps one link up and hands messages over it; a `Forwarder` per endpoint moves its backlog through a
proxy. `ModuleProxy` is the proxy that speaks as this module, by azure-iot-device, to edgeHub or the stand-in.

Invariants:
- an entry is settled in the store only after the other end acknowledged it, or will never take it (and then an event
  of level error names it);
- messages of one sender and priority arrive in order: after a failure all is resumed from the lowest unacknowledged;
- duplicates carry the same message id;
- a link that acknowledges nothing while messages wait is torn down and built anew; nothing polls while offline.

Entry points: `module_proxy.ModuleProxy`, `forwarder.Forwarder`, `methods.ModuleMethods`, `proxy.CloudProxy`.
"""
