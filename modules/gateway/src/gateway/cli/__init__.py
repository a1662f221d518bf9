"""The command line: one file per command, each with `add_parser` and `run`.

Commands work on files and folders, most of them while the gateway runs. Exit codes: 0 done or yes, 1 the answer is no,
2 wrong usage or an input that cannot be read. `--json` gives every answer for programs.

Entry point: `main.main`.
"""
