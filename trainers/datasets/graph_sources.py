"""Where graphs come from.

scikit-learn's digits, each joined to those most like it, are always there. Those of the Open Graph
Benchmark lie where data sets are looked for; any other graph is the path of an .npz file.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import tempfile
import zipfile
import zlib
from typing import Any, NamedTuple

import keras
import numpy as np

from trainers.datasets.graphs import PARTS, Graph, GraphFacts, whole
from trainers.datasets.sources import check_there, missing, place_of
from trainers.options.paths import is_path

__all__ = ["EMBEDDED", "check", "facts", "fetch", "get", "is_counted", "names", "random"]

EMBEDDED = "digits"
# Neighbours of a digit, and labelled ones of each class.
_LIKE, _LABELLED = 8, 4
# Of a graph without parts, as of Planetoid (arXiv 1603.08861): nodes of each class to train on, and
# nodes held out and to test.
_OF_CLASS, _HELD_OUT, _TESTED = 20, 500, 1_000
_NEEDED = ("edges", "labels")
# What reading a damaged archive raises.
_DAMAGES = (EOFError, zipfile.BadZipFile, zlib.error)
_SPARSE = ("feat_row", "feat_col", "feat_val")


class _Known(NamedTuple):
    """A graph of the Open Graph Benchmark: its facts, its archive, and the folder of its parts."""

    facts: GraphFacts
    address: str
    parts: str


_OGB = "http://snap.stanford.edu/ogb/data/nodeproppred/"
# Hu et al., "Open Graph Benchmark" (arXiv 2005.00687), tables 3 and 4; edges in both directions.
_KNOWN = {
    "ogbn_arxiv": _Known(
        GraphFacts(169_343, 2_315_598, 128, 40, 90_941, 29_799, 48_603), f"{_OGB}arxiv.zip", "time"
    ),
    "ogbn_products": _Known(
        GraphFacts(2_449_029, 123_718_024, 100, 47, 196_615, 39_323, 2_213_091),
        f"{_OGB}products.zip",
        "sales_ranking",
    ),
}


def names() -> list[str]:
    """Return the names of the graphs that can be had, sorted."""
    return sorted([*_KNOWN, EMBEDDED])


def facts(name: str) -> GraphFacts:
    """Return what is known of a graph; one that is given by a path is read for it.

    Raises:
        ValueError: If the name is unknown, or the file is none of a graph.
        FileNotFoundError: If there is no such file.
    """
    if name in _KNOWN:
        return _KNOWN[name].facts
    if name == EMBEDDED or is_path(name):
        return _read(name).facts
    raise ValueError(
        f"`dataset` must be one of {', '.join(names())}, or the path of an .npz file, as "
        f"'./mine.npz'. "
        f"Received: dataset={name!r}"
    )


def is_counted(name: str) -> bool:
    """Return whether the facts of a graph have its number of edges exactly."""
    return name not in _KNOWN


def check(name: str, data_dir: str | None = None) -> None:
    """Check that a graph is there.

    Raises:
        ValueError: As for `facts`.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    facts(name)
    if name in _KNOWN and not _file(name, data_dir).is_file():
        raise missing(name, [_file(name, data_dir)], data_dir, f"--dataset={EMBEDDED}")


def get(name: str, data_dir: str | None = None) -> Graph:
    """Return a graph.

    Raises:
        ValueError: As for `facts`, or if what is there is not that graph.
        FileNotFoundError: If it is not there, with the command that downloads it.
    """
    check(name, data_dir)
    if name not in _KNOWN:
        return _read(name)
    found = _read(str(_file(name, data_dir)))
    _check_facts(name, found)
    return found


def random(name: str) -> Graph:
    """Return a graph that is made up, in the size of another one: what is computed takes as long.

    One that was read for its facts is returned itself.

    Raises:
        ValueError: If the name is unknown.
    """
    known = facts(name)
    if is_counted(name):
        return _read(name)
    draw = np.random.default_rng(0)
    edges = draw.integers(0, known.nodes, (known.edges // 2, 2))
    order = draw.permutation(known.nodes)
    ends = np.cumsum([0, known.train, known.val, known.test])
    labels = draw.integers(0, known.classes, known.nodes)
    labels[: known.classes] = np.arange(known.classes)[: len(labels)]
    return Graph.of(
        f"a random graph in the size of {name}",
        draw.standard_normal((known.nodes, known.features), np.float32),
        edges,
        labels,
        train=order[ends[0] : ends[1]],
        val=order[ends[1] : ends[2]],
        test=order[ends[2] : ends[3]],
    )


def fetch(name: str, data_dir: str | None = None) -> str:
    """Download a graph, unless it is there, and return the file.

    The Open Graph Benchmark publishes no checksums: the numbers of nodes, features, classes and of
    each part are checked.

    Raises:
        OSError: If it cannot be downloaded or written, or is not what it should be.
    """
    if name == EMBEDDED:
        return "comes with scikit-learn"
    path = _file(name, data_dir)
    if path.is_file():
        return str(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{name}_unfinished_") as beside:
        try:
            archive = keras.utils.get_file(
                "archive.zip", _KNOWN[name].address, cache_dir=beside, extract=False
            )
            arrays = _of_archive(archive, _KNOWN[name].parts)
            made = pathlib.Path(beside) / path.name
            np.savez(made, **arrays)
            _check_facts(name, _read(str(made)))
        except OSError:
            raise
        except Exception as error:  # Of an archive that is damaged.
            raise ConnectionError(f"{name!r} cannot be downloaded: {error}") from error
        made.rename(path)
    return str(path)


def _file(name: str, data_dir: str | None) -> pathlib.Path:
    return place_of(data_dir) / f"{name}.npz"


def _check_facts(name: str, found: Graph) -> None:
    known = _KNOWN[name].facts
    # How many edges are there twice is not published.
    if found.facts != GraphFacts(**{**vars(known), "edges": found.facts.edges}):
        raise ValueError(f"{name!r} must have {known}. Received: {found.facts}")


# --- reading -------------------------------------------------------------------------------------


def _read(name: str) -> Graph:
    """Read a graph, once for as long as its file stays what it is."""
    if name == EMBEDDED:
        return _digits()
    path = pathlib.Path(name).expanduser()
    check_there(name, path)
    state = path.stat()
    return _read_again(str(path), (state.st_mtime_ns, state.st_size))


@functools.lru_cache(maxsize=2)
def _read_again(path: str, stamp: tuple[int, int]) -> Graph:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (ValueError, TypeError, IsADirectoryError, *_DAMAGES) as error:
        # Of any other file NumPy says that it is pickled.
        said = error if zipfile.is_zipfile(path) else "a file of another kind, or a folder"
        raise ValueError(
            f"{path} must be an .npz file of arrays, without objects. Received: {said}"
        ) from error
    absent = [key for key in _NEEDED if key not in arrays]
    if "features" not in arrays and not set(_SPARSE) <= arrays.keys():
        absent.append("features")
    if absent:
        raise ValueError(
            f"{path} must have the arrays {', '.join(_NEEDED)}, and features, or of those that are "
            f"not 0 {', '.join(_SPARSE)}. Received: no {', '.join(absent)}"
        )
    name = pathlib.Path(path).name
    labels = arrays["labels"]
    if labels.size != max(labels.shape, default=0):
        raise ValueError(
            f"Labels must be numbers of classes, of shape (nodes,). Received: shape "
            f"{labels.shape} of {name}. Of one column for each class np.argmax(labels, axis=1) "
            f"gives the numbers"
        )
    labels = whole("labels", labels.reshape(-1), name)
    return _graph(name, _features(name, arrays, len(labels)), labels, arrays)


def _features(name: str, arrays: dict[str, np.ndarray], nodes: int) -> np.ndarray:
    if "features" in arrays:
        if both := [key for key in _SPARSE if key in arrays]:
            raise ValueError(
                f"{name} must have features, or {', '.join(_SPARSE)}. Received: features and "
                f"{', '.join(both)}"
            )
        return arrays["features"]
    values = arrays[_SPARSE[2]]
    rows, columns = (whole(key, arrays[key], name) for key in _SPARSE[:2])
    shapes = {each.shape for each in (rows, columns, values)}
    if len(shapes) > 1 or values.ndim != 1 or not len(values):
        raise ValueError(
            f"{', '.join(_SPARSE)} must have a number for each feature that is not 0. Received: "
            f"shapes {rows.shape}, {columns.shape}, {values.shape} of {name}"
        )
    width = int(columns.max()) + 1
    if "num_features" in arrays:
        given = whole("num_features", arrays["num_features"], name)
        if given.size != 1:
            raise ValueError(
                f"num_features must be one number. Received: shape {given.shape} of {name}"
            )
        width = int(given.item())
    outside = (rows < 0) | (rows >= nodes) | (columns < 0) | (columns >= width)
    if outside.any():
        place = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"Features must be of {nodes} nodes and {width} columns. Received: row {rows[place]}, "
            f"column {columns[place]} as number {place} of {name}"
        )
    if len(np.unique(rows * width + columns)) < len(rows):
        raise ValueError(f"Each feature must be given once. Received: one twice in {name}")
    found = np.zeros((nodes, width), np.float32)
    found[rows, columns] = values
    return found


def _graph(
    name: str, features: np.ndarray, labels: np.ndarray, arrays: dict[str, np.ndarray]
) -> Graph:
    keys = {part: arrays.get(f"{part}_idx") for part in PARTS}
    given = {part: nodes for part, nodes in keys.items() if nodes is not None}
    if given and len(given) < len(PARTS):
        absent = [f"{part}_idx" for part in PARTS if part not in given]
        raise ValueError(
            f"{name} must have all of train_idx, val_idx and test_idx, or none of them. Received: "
            f"no {', '.join(absent)}"
        )
    said = "its own parts" if given else "parts drawn at random"
    made = Graph.of(
        name,
        features,
        arrays["edges"],
        labels,
        arrays.get("class_names", np.zeros(0, str)).tolist(),
        **(given or _parts(labels, name)),
    )
    return _described(made, name, said)


def _described(graph: Graph, name: str, said: str) -> Graph:
    known = graph.facts
    return dataclasses.replace(
        graph,
        description=f"{name} ({known.nodes:,} nodes, {known.edges // 2:,} edges; {known.train:,} "
        f"to train, {known.val:,} held out, {known.test:,} to test: {said})",
    )


def _parts(labels: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Return parts that are drawn, the same each time: of each class 20, 500 and 1,000 others."""
    order = np.random.default_rng(0).permutation(len(labels))
    order = order[labels[order] >= 0]
    train = np.concatenate(
        [order[labels[order] == each][:_OF_CLASS] for each in np.unique(labels[order])]
    )
    rest = order[~np.isin(order, train)]
    if len(rest) < _HELD_OUT + _TESTED:
        raise ValueError(
            f"{name} must have train_idx, val_idx and test_idx: none are drawn from fewer than "
            f"{_HELD_OUT + _TESTED} nodes beside those to train on. Received: {len(rest)}"
        )
    return {
        "train": train,
        "val": rest[:_HELD_OUT],
        "test": rest[_HELD_OUT : _HELD_OUT + _TESTED],
    }


@functools.cache
def _digits() -> Graph:
    """Return digits, each joined to the eight that are nearest; four of each class are trained on.

    E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository.
    """
    from sklearn.datasets import load_digits
    from sklearn.neighbors import kneighbors_graph

    data = load_digits()
    near = kneighbors_graph(data.data, _LIKE).tocoo()
    labels = data.target
    train = np.concatenate([np.flatnonzero(labels == each)[:_LABELLED] for each in range(10)])
    rest = np.setdiff1d(np.arange(len(labels)), train)
    made = Graph.of(
        EMBEDDED,
        data.data / 16.0,
        np.stack([near.row, near.col], axis=1),
        labels,
        train=train,
        val=rest[::4],
        test=rest[np.arange(len(rest)) % 4 != 0],
    )
    return _described(made, "scikit-learn's digits, joined by likeness", "four of each class")


def _of_archive(path: str, parts: str) -> dict[str, Any]:
    """Return the arrays of an archive of the Open Graph Benchmark."""
    import pandas as pd

    with zipfile.ZipFile(path) as archive:
        inside = {name.partition("/")[2]: name for name in archive.namelist()}

        def read(name: str) -> np.ndarray:
            with archive.open(inside[f"{name}.csv.gz"]) as file:
                return pd.read_csv(file, compression="gzip", header=None).to_numpy()

        edges, features = read("raw/edge"), read("raw/node-feat").astype(np.float32)
        labels = read("raw/node-label").reshape(-1)
        nodes = {
            part: read(f"split/{parts}/{given}").reshape(-1)
            for part, given in zip(PARTS, ("train", "valid", "test"), strict=True)
        }
    return {
        "edges": edges.astype(np.int64),
        "features": features,
        "labels": labels.astype(np.int32),
        **{f"{part}_idx": each.astype(np.int64) for part, each in nodes.items()},
    }
