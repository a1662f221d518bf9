"""The commands of `standin`, one file each: `add(commands)` puts a command on the command line, with what it runs.

A command returns its exit code; it raises what `standin.cli.main` turns into one. All but `run` and `sas` ask a running
stand-in over its control socket (`standin.client`).
"""
