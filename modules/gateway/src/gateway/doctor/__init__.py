"""The checks of `gateway doctor`, and what `gateway support-bundle` takes along.

Invariants: nothing is changed anywhere (what is written to measure a disk has no name and is gone with the process);
nothing that is said holds a secret; each check stands alone, ends at its deadline, and what cannot be looked at is said
to be not checked, with the reason.

Entry points: `checkup.examine`, `patient.find_patient`, `bundle.make_bundle`.
"""
