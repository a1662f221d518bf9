"""The benchmark: the gateway and programs people would use instead, side by side in one run.

One server at a time on one core, the load generator on another; a round runs every case against every target, so that
whatever the machine does at that minute hits all of them. Figures are medians over rounds; ratios are taken inside a
round, against the anchor of the same case, and then the median of those. Nothing here asserts a time.

Entry point: `python -m sidebyside` (or `make bench`). `plan` says what is measured, `targets` how each server starts,
`measures` what is done with it, `report` makes the table, `plot` the picture (in the peers' own venv).
"""
