"""What `calibration.seeds` costs: a run of the digits pipeline with several draws and with one.

    python benchmarks/draws.py --seeds 5

Each run begins with nothing, and what it costs is the CPU time of its process and of all that it
started. The peer is what draws cost without this: as many runs. The program ends with 0 if a run
with several draws costs less than half of that.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cpu_seconds(seeds: int) -> float:
    """Returns the CPU time of a run of the digits pipeline.

    Args:
        seeds: How many draws of calibration examples.

    Raises:
        CalledProcessError: It failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        settings = {
            "root": f"{directory}/root",
            "push.destination": f"{directory}/pushed",
            "calibration.seeds": seeds,
        }
        command = [sys.executable, "-m", "tfx_tflite", "run", str(ROOT / "configs/digits.yaml")]
        command += [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
        before = _children()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return _children() - before


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Prints what both cost, and the ratio.

    Raises:
        SystemExit: With 1 if several draws cost half of as many runs or more.
    """
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    # In turns, and the least of each: what else the machine does only adds to it.
    costs = [(cpu_seconds(1), cpu_seconds(arguments.seeds)) for _ in range(arguments.repeats)]
    one, several = (min(column) for column in zip(*costs, strict=True))
    ratio = several / one
    print(f"one draw      {one:6.1f} CPU-s a run")
    print(f"{arguments.seeds} draws       {several:6.1f} CPU-s a run, {ratio:.2f} times as much")
    print(f"{arguments.seeds} runs        {one * arguments.seeds:6.1f} CPU-s")
    sys.exit(ratio >= arguments.seeds / 2)


if __name__ == "__main__":
    main()
