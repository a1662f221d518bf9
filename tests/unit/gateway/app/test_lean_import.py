import subprocess
import sys

import pytest

from gateway.app.lean_import import DETECTION, without_detection

PROGRAM = """
import sys
from gateway.app.lean_import import DETECTION, without_detection
with without_detection():
    import azure.iot.device
    import requests
assert not any(name in sys.modules for name in DETECTION), "it was loaded"
response = requests.Response()
response._content = '{"grüße": 1}'.encode()
assert response.json() == {"grüße": 1}
assert response.text == '{"grüße": 1}'
import charset_normalizer  # whoever needs it has it
"""


def test_the_sdk_loads_and_reads_answers_without_the_detection_of_encodings() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


METADATA = """
import sys
from gateway.app.lean_import import METADATA, import_urllib3, without_detection
with without_detection():
    import_urllib3()
    import gateway.upstream.module_proxy
assert METADATA not in sys.modules, "it was loaded"
import urllib3.http2
assert urllib3.http2.version("urllib3") == urllib3.__version__
from importlib.metadata import PackageNotFoundError, version  # whoever needs it has it
assert version("urllib3") == urllib3.__version__
import_urllib3()
assert METADATA in sys.modules
"""


def test_the_sdk_loads_without_the_metadata_of_packages_and_who_asks_has_it() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", METADATA], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_import_that_fails_leaves_nothing_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DETECTION:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ModuleNotFoundError), without_detection():
        import charset_normalizer  # noqa: F401 — that it cannot be had is what is tried
    assert not any(name in sys.modules for name in DETECTION)
