"""Records of measurements: JSON files that say how, where and when they were made."""

import datetime
import json
import platform
import time
from pathlib import Path

import numpy as np


def fastest(call, repeats=5):
    """Wall time of the fastest of several calls, in seconds: the least disturbed by what else is running."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def processor():
    """The processor's name, as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def write_record(path, command, content):
    """Write `content` (a dict) to `path`, with the command, machine, versions and date in front.

    The file is complete or absent: it is written beside its place and then moved there.
    """
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    try:
        import torch
    except ImportError:  # records of the NumPy half do without torch
        pass
    else:
        versions["torch"] = torch.__version__
        if torch.cuda.is_available():
            versions["device"] = torch.cuda.get_device_name()
    head = {
        "command": command,
        "machine": processor(),
        "versions": versions,
        "date": datetime.date.today().isoformat(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(head | content, indent=1) + "\n", encoding="utf8")
    temporary.replace(path)
