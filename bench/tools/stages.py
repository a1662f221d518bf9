"""Rank where a gateway's time goes: `py-spy record --format raw --threads` in, microseconds per message by stage out.

A sample belongs to the room of the innermost frame of ours, with all that C code did beneath it (so a garbage
collection lands where it happened to strike). What uvloop and the kernel do outside any of our calls is the loop's.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

STAGES: Final = (
    ("Connection._send_raw ", "transport: write to the socket"),
    ("Store._commit", "store: start and end of a commit"),
    ("edgewire/transport/timer", "transport: timers"),
    ("edgewire/transport", "transport: pump, connection"),
    ("edgewire/session", "session: state machine"),
    ("edgewire/codec", "codec: frames and packets"),
    ("edgewire/iothub", "topics and property bags"),
    ("gateway/head", "head: MQTT connection, publications"),
    ("gateway/routing/body", "routes: body"),
    ("gateway/routing", "routes: match"),
    ("<routes", "routes: match"),
    ("gateway/dispatch", "ingress"),
    ("DiskFile.", "store thread: disk"),
    ("gateway/store/runner", "store: to the thread and back"),
    ("gateway/store/log", "store thread: commit"),
    ("gateway/store/record", "store thread: commit"),
    ("gateway/store/segment", "store thread: commit"),
    ("gateway/store", "store: append, encode, tell"),
    ("gateway/", "gateway, other"),
    ("asyncio/", "event loop: uvloop, epoll, read and write calls"),
)
THREADS: Final = ("MainThread", "store")
"""py-spy's own idea of what is idle keeps threads that wait out of the samples."""


def samples(text: str) -> Iterator[tuple[list[str], int]]:
    """Frames, outermost first, and how often they were seen."""
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, _, frames = stack.partition(";")
        if count.isdigit() and frames and thread.rpartition(": ")[2] in THREADS:
            yield frames.split(";"), int(count)


def stage_of(frames: list[str]) -> str:
    """The stage of the innermost frame that has one."""
    for frame in reversed(frames):
        for mark, stage in STAGES:
            if mark in frame:
                return stage
    return "other"


def main() -> None:
    """Read the command line, print the ranking."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--cpu-us", type=float, required=True, help="the server's CPU per message, as mqload says")
    arguments = parser.parse_args()
    stages: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for frames, count in samples(arguments.raw.read_text()):
        stages[stage_of(frames)] += count
        functions[frames[-1].rpartition(":")[0]] += count
    total = sum(stages.values())
    for title, counted in (("stage", stages), ("innermost function", functions)):
        print(f"{'us/msg':>8} {'share':>6}  {title}")
        for name, count in counted.most_common(25):
            print(f"{count / total * arguments.cpu_us:8.2f} {count / total:6.1%}  {name}")


if __name__ == "__main__":
    main()
