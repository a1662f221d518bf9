"""What an image is made of, as CycloneDX 1.6: from the lock and from modules/gateway/wheels.json.

One file for each platform, as their files differ. It names Python packages; what the base image holds is for a scanner
of images to say, as it depends on the day the base was fetched.
"""

import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any, Final

import wheels

NAMESPACE: Final = uuid.UUID("5b0e0f2c-6a3f-4c1c-9d0f-3d6a3f5b9e11")
"""Of our serial numbers: the same contents have the same number."""
GATEWAY: Final = "edge-gateway"
JsonObject = dict[str, Any]


def bill_of_materials(platform: str, version: str, seconds: int) -> JsonObject:
    """The document for the image of a platform; `seconds` since 1970 is when it was made."""
    lock = (wheels.FOLDER / "requirements.lock").read_text()
    machine = wheels.MACHINES[platform]
    pinned = {each.name: each for each in wheels.read_lock(lock) if each.is_for(machine)}
    files = json.loads(wheels.FILE.read_text())[platform]
    own = f"pkg:pypi/{GATEWAY}@{version}"
    refs = {GATEWAY: own} | {name: f"pkg:pypi/{name}@{each.version}" for name, each in pinned.items()}
    components = [_component(each, refs[each.name], files.get(each.name)) for each in pinned.values()]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.uuid5(NAMESPACE, json.dumps([platform, own, components])).urn,
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {
                "type": "container",
                "bom-ref": own,
                "name": GATEWAY,
                "version": f"{version}-{platform}",
                "purl": own,
            },
        },
        "components": components,
        "dependencies": [
            {"ref": ref, "dependsOn": sorted(refs[each] for each in needed_by(lock, name) if each in refs)}
            for name, ref in refs.items()
        ],
    }


def _component(pinned: wheels.Pinned, ref: str, file: Mapping[str, str] | None) -> JsonObject:
    found: JsonObject = {
        "type": "library",
        "bom-ref": ref,
        "name": pinned.name,
        "version": pinned.version,
        "purl": f"{ref}?file_name={file['file']}" if file else ref,
        "scope": "required",
    }
    if file:  # else it was built from its source, which is in the lock
        found["hashes"] = [{"alg": "SHA-256", "content": file["sha256"]}]
    return found | ({"licenses": licences} if (licences := _licences(pinned.name)) else {})


def _licences(name: str) -> list[JsonObject]:
    """As the package says it: an SPDX expression, or the words of older packages."""
    try:
        said = metadata(name)
    except PackageNotFoundError:  # not for the platform that this runs on
        return []
    if "License-Expression" in said:
        return [{"expression": said["License-Expression"]}]
    words = [
        each.rpartition(" :: ")[2]
        for each in said.get_all("Classifier", [])
        if each.count(" :: ") > 1 and each.startswith("License")
    ]
    words = words or (said["License"].splitlines()[:1] if "License" in said else [])
    return [{"license": {"name": word}} for word in words]


def needed_by(lock: str, name: str) -> list[str]:
    """What this package asked for, by the comments of the lock."""
    found, current = [], ""
    for line in lock.splitlines():
        if start := re.match(r"([a-z0-9-]+)==", line):
            current = start[1]
        elif re.match(rf"    #(?: via)? +{name}(?: \(.*)?$", line):
            found.append(current)
    return found
