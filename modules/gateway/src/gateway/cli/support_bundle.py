"""`gateway support-bundle`: one file with what somebody who helps needs to see, and no secret in it."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from gateway.cli.doctor import lines_of
from gateway.cli.inputs import Subparsers, add_data_option
from gateway.doctor.bundle import Sources, make_bundle, write_bundle
from gateway.doctor.checkup import examine
from gateway.doctor.patient import find_patient


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `support-bundle`."""
    what = "one file for whoever helps: status, settings, doctor, counters, events; secrets are hidden"
    parser = commands.add_parser(
        "support-bundle",
        help=what,
        description=f"{what[0].upper()}{what[1:]}. Works beside a running gateway and on a dead one. No messages of "
        "devices are in it. Look at it before you give it away: names of devices and hosts are.",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to (default: gateway-support-TIME.tar.gz here)")
    parser.add_argument("--log", type=Path, metavar="FILE", help="the gateway's log, of which the end goes along")
    parser.add_argument("--offline", action="store_true", help="ask nobody outside of this machine")
    parser.add_argument("--json", action="store_true", help="the answer for programs: the file, and what is in it")
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make it. Returns 0, or 2 if the file cannot be written."""
    patient = find_patient(os.environ, data=arguments.data)
    results = tuple(examine(patient, offline=arguments.offline))
    bundle = make_bundle(
        Sources(patient=patient, results=results, log=arguments.log),
        lambda: "\n".join(lines_of(results, everything=True)) + "\n",
    )
    out: Path = arguments.out or Path(time.strftime("gateway-support-%Y%m%dT%H%M%SZ.tar.gz", time.gmtime()))
    try:
        write_bundle(out, bundle)
    except OSError as error:
        there = isinstance(error, FileExistsError)
        why = "it is there already" if there else (error.strerror or str(error)).lower()
        print(f"gateway support-bundle: {out} cannot be written: {why}; name another place with --out", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps({"file": str(out), "bytes": len(bundle.data), **bundle.manifest}))
        return 0
    print(f"{out}: {len(bundle.data)} bytes, for your eyes only (mode 0600)")
    for name, about in bundle.manifest["files"].items():
        hidden = f", {about['hidden']} places hidden" if about["hidden"] else ""
        print(f"  {name}: {about['bytes']} bytes{hidden}")
    for name, why in bundle.manifest["missing"].items():
        print(f"  {name} is not in it: {why}")
    return 0
