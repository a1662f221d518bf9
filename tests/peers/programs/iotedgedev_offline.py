"""IoT Edge's tool, with its schemas from files: iotedgedev_offline.py SCHEMAS ARGUMENT… (conventions.md §1.2).

Without its schema site it would print a line, check nothing and succeed.
"""

import sys
from importlib import import_module
from pathlib import Path

folder = Path(sys.argv.pop(1)).resolve()
constants = import_module("iotedgedev.constants").Constants
constants.deployment_template_schema_url = (folder / "azure-iot-edge-deployment-template-4.0.json").as_uri()
constants.deployment_manifest_schema_url = (folder / "azure-iot-edge-deployment-2.0.json").as_uri()
sys.argv[0] = "iotedgedev"
sys.exit(import_module("iotedgedev.cli").main())
