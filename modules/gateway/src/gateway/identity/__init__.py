"""Who may connect: the registry of devices, their credentials, and the check of both.

- Nobody is known but by the registry: each device, each module, and groups whose devices share a key to derive from.
  Of others the hub decides, where it can be asked; what it said is remembered with the token (`vouching`, `tokens`).
- Every refusal costs and looks the same outside; its reason goes to our counters only.
- A good credential is let in however many others fail; failures only make the failing ones wait.
- No key, signature or token in any text or repr.
- The file of the registry is replaced as a whole; a file that cannot be read never replaces what is in force.

Entry points: `registry.Registry`, `authenticator.Authenticator`, `credentials.claimed_identity`, `Claim`, `Admitted`,
`Refused`; `roster` for the values and the layout of the file; `inspection.inspect` explains a token.
"""
