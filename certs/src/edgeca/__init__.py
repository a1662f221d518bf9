"""A certificate authority for one site: root, issuing CA, edge CAs, servers, devices.

`authority.Authority` makes and signs in memory; `folder.Folder` keeps the same on disk, changes nothing when asked
twice and never deletes; `inspection` finds what is broken or about to end; `cli` is the command.

Invariants: a private key reaches the disk only with mode 0600; every leaf has one intermediate (boards with little
memory take no more); nothing needs an `openssl` program, a terminal or the network.
"""
