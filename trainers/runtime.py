"""What must be set before TensorFlow is imported; every program imports this module first.

TensorFlow leaves its oneDNN kernels off on CPUs without AVX-512, where they train a ResNet-20 1.8
times as fast (benchmarks/throughput.py).
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
