"""Programs that run the benchmark: `python -m trainers.NAME --flags`.

Importing this package, which happens before any of its modules, sets what TensorFlow reads when it
is imported itself. It leaves its oneDNN kernels off on CPUs without AVX-512, where they train a
ResNet-20 1.8 times as fast (425 images a second where there were 242, on two cores).
"""

import importlib.util
import os
import pathlib

_NEEDED = (
    *("jinja2", "matplotlib", "ml_collections", "pandas", "rich", "scikit_posthocs", "scipy"),
    *("sklearn", "tabulate", "tensorboard"),
)
_ABSENT = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
if _ABSENT:
    raise ImportError(
        f"The trainers need packages that are not installed: {', '.join(_ABSENT)}. Install them "
        f"with `pip install -e '.[trainers]'`."
    )

# They run from a clone: the processes that they start find it, wherever those run.
_CLONE = str(pathlib.Path(__file__).parents[1])
if _CLONE not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [_CLONE, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
