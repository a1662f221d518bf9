"""`gateway schema`: the settings document as JSON Schema, for the editor that a person writes it in."""

import argparse
import json

from gateway.app.document_schema import deployment_schema, settings_schema
from gateway.cli.inputs import Subparsers

DEFAULT_MODULE = "gateway"


def add_parser(commands: "Subparsers[argparse.ArgumentParser]") -> None:
    """Add `schema`."""
    what = "the settings as JSON Schema, for editors that complete and check them"
    parser = commands.add_parser("schema", help=what, description=f"{what[0].upper()}{what[1:]} (draft 7).")
    parser.add_argument("--deployment", action="store_true", help="of a whole deployment or its template instead")
    parser.add_argument(
        "--module", default=DEFAULT_MODULE, metavar="M", help=f"the gateway's name there (default {DEFAULT_MODULE})"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the schema. Returns 0."""
    schema = deployment_schema(arguments.module) if arguments.deployment else settings_schema()
    print(json.dumps(schema, indent=2, ensure_ascii=False))
    return 0
