"""What `import keras_sched` adds to `import keras`.

    python -m benchmarks.importing [--repeats=15]

Fresh processes that have imported Keras and TensorFlow import the library, with the bytecode that
an installation has. The last line is the time to import both over that of Keras alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile

_TIMED = """
import time
start = time.perf_counter()
import keras
middle = time.perf_counter()
import keras_sched
print(middle - start, time.perf_counter() - middle)
"""


def seconds(environment: dict[str, str]) -> tuple[float, float]:
    """Return what a fresh process needs for Keras, and then for the library."""
    run = subprocess.run(
        [sys.executable, "-c", _TIMED], env=environment, capture_output=True, text=True, check=True
    )
    keras, library = map(float, run.stdout.split())
    return keras, library


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as bytecode:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        seconds(environment)  # writes the bytecode
        times = [seconds(environment) for _ in range(repeats)]
    keras, library = (statistics.median(column) for column in zip(*times, strict=True))
    spread = max(pair[1] for pair in times)
    print(f"import keras: {keras:.3f} s")
    print(f"import keras_sched, after it: {library:.3f} s (at most {spread:.3f} s, n={repeats})")
    print(f"import: {(keras + library) / keras:.3f}")


if __name__ == "__main__":
    main()
