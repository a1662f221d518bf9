"""The picture: `python plot.py results.json results.png`, run by the peers' venv, which has matplotlib."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

PANELS: Final = (
    ("ingest", "ingest, plain TCP: times mosquitto"),
    ("ingest, TLS", "ingest, TLS 1.3: times mosquitto"),
    ("handshakes", "TLS logins: times mosquitto"),
    ("AMQP ingest", "AMQP 1.0 ingest, plain TCP: times RabbitMQ transient"),
    ("end to end", "end to end: times mosquitto's bridge"),
)


def draw(entries: list[dict[str, Any]], path: Path) -> None:
    """One panel for each measure, one group of bars for each case, one bar for each target."""
    shown = [
        (measure, title) for measure, title in PANELS if any(e["measure"] == measure and e["ratio"] for e in entries)
    ]
    if not shown:  # --only what has no panel: a picture of another run would not fit the table
        path.unlink(missing_ok=True)
        return
    figure, axes = plt.subplots(len(shown), 1, figsize=(10, 3.2 * len(shown)), squeeze=False)
    for axis, (measure, title) in zip(axes[:, 0], shown, strict=True):
        _panel(axis, title, [entry for entry in entries if entry["measure"] == measure and entry["ratio"]])
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def _panel(axis: Any, title: str, entries: list[dict[str, Any]]) -> None:
    cases = list(dict.fromkeys(entry["case"] for entry in entries))
    targets = list(dict.fromkeys(entry["target"] for entry in entries))
    width = 0.8 / len(targets)
    for number, target in enumerate(targets):
        ratios = {entry["case"]: entry["ratio"] for entry in entries if entry["target"] == target}
        places = [cases.index(case) + number * width for case in ratios]
        medians = [ratio["median"] for ratio in ratios.values()]
        least = [ratio["median"] - ratio["least"] for ratio in ratios.values()]
        most = [ratio["most"] - ratio["median"] for ratio in ratios.values()]
        axis.bar(places, medians, width * 0.9, yerr=[least, most], capsize=2, label=target)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_xticks([place + 0.4 - width / 2 for place in range(len(cases))], cases, fontsize=7)
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=7)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text())["summary"], Path(sys.argv[2]))
