"""Scores of GLUE (Wang et al., arXiv 1804.07461, table 1) that are no means, in [-1, 1]."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import scipy.stats
import sklearn.metrics

__all__ = ["SCORES"]


def f1(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the F1 score of class 1; 0 if it is neither there nor found."""
    return float(sklearn.metrics.f1_score(truth, found, zero_division=0.0))


def matthews(truth: np.ndarray, found: np.ndarray) -> float:
    """Return Matthews' correlation of classes; 0 if all are found to be one class."""
    with warnings.catch_warnings():  # At the beginning it is often so.
        warnings.filterwarnings("ignore", "A single label was found")
        return float(sklearn.metrics.matthews_corrcoef(truth, found))


def pearson(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the correlation of ratings; 0 if all are the same, for which there is none."""
    return _correlation(scipy.stats.pearsonr, truth, found)


def spearman(truth: np.ndarray, found: np.ndarray) -> float:
    """Return the correlation of the ranks of ratings; 0 if all are the same."""
    return _correlation(scipy.stats.spearmanr, truth, found)


def _correlation(
    correlate: Callable[..., tuple[float, float]], truth: np.ndarray, found: np.ndarray
) -> float:
    truth, found = truth.astype(np.float64), found.astype(np.float64)
    if np.ptp(truth) == 0.0 or np.ptp(found) == 0.0:
        return 0.0
    return float(correlate(truth, found)[0])


SCORES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
}
