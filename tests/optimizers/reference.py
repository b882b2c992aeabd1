"""One step of every optimizer in float64 NumPy, from the papers' formulas, with every number given.

A rule takes the weights, the gradient, the step t = 0, 1 ..., the numbers of that step, and a
dictionary that it keeps its state in; it returns the new weights. Weight decay comes first, as in
Keras: ``w - weight_decay * learning_rate * w``.
"""

from __future__ import annotations

import numpy as np


def sgd(w, g, t, h, state, nesterov=False):
    lr, beta = h["learning_rate"], h["momentum"]
    v = state["v"] = beta * state.get("v", 0.0) - lr * g
    return w + (beta * v - lr * g if nesterov else v)


def sgd_nesterov(w, g, t, h, state):
    return sgd(w, g, t, h, state, nesterov=True)


def sgd_pytorch(w, g, t, h, state, nesterov=False):
    v = state["v"] = h["momentum"] * state.get("v", 0.0) + g
    return w - h["learning_rate"] * (g + h["momentum"] * v if nesterov else v)


def sgd_pytorch_nesterov(w, g, t, h, state):
    return sgd_pytorch(w, g, t, h, state, nesterov=True)


def rmsprop(w, g, t, h, state):
    v = state["v"] = h["rho"] * state.get("v", 0.0) + (1 - h["rho"]) * g**2
    step = h["learning_rate"] * g / np.sqrt(v + 1e-7)
    m = state["m"] = h["momentum"] * state.get("m", 0.0) + step
    return w - m


def _adam_means(g, h, state):
    m = state["m"] = h["beta_1"] * state.get("m", 0.0) + (1 - h["beta_1"]) * g
    v = state["v"] = h["beta_2"] * state.get("v", 0.0) + (1 - h["beta_2"]) * g**2
    return m, v


def adam(w, g, t, h, state):
    m, v = _adam_means(g, h, state)
    alpha = h["learning_rate"] * np.sqrt(1 - h["beta_2"] ** (t + 1)) / (1 - h["beta_1"] ** (t + 1))
    return w - alpha * m / (np.sqrt(v) + 1e-7)


def adam_exact(w, g, t, h, state):
    """Adam whose means are corrected by the products of the betas they were made with."""
    m, v = _adam_means(g, h, state)
    one = state["one"] = state.get("one", 1.0) * h["beta_1"]
    two = state["two"] = state.get("two", 1.0) * h["beta_2"]
    alpha = h["learning_rate"] * np.sqrt(1 - two) / (1 - one)
    return w - alpha * m / (np.sqrt(v) + 1e-7)


def adamax(w, g, t, h, state):
    m = state["m"] = h["beta_1"] * state.get("m", 0.0) + (1 - h["beta_1"]) * g
    u = state["u"] = np.maximum(h["beta_2"] * state.get("u", 0.0), np.abs(g))
    return w - h["learning_rate"] * m / ((1 - h["beta_1"] ** (t + 1)) * (u + 1e-7))


def nadam(w, g, t, h, state):
    m, v = _adam_means(g, h, state)
    now = h["beta_1"] * (1 - 0.5 * 0.96 ** (t + 1))
    after = h["beta_1"] * (1 - 0.5 * 0.96 ** (t + 2))
    product = state["product"] = state.get("product", 1.0) * now
    mean = after * m / (1 - product * after) + (1 - now) * g / (1 - product)
    root = np.sqrt(v / (1 - h["beta_2"] ** (t + 1)))
    return w - h["learning_rate"] * mean / (root + 1e-7)


def adadelta(w, g, t, h, state):
    rho = h["rho"]
    a = state["a"] = rho * state.get("a", 0.0) + (1 - rho) * g**2
    d = state.get("d", 0.0)
    step = np.sqrt(d + 1e-7) * g / np.sqrt(a + 1e-7)
    state["d"] = rho * d + (1 - rho) * step**2
    return w - h["learning_rate"] * step


def adagrad(w, g, t, h, state):
    a = state["a"] = state.get("a", 0.1) + g**2
    return w - h["learning_rate"] * g / np.sqrt(a + 1e-7)


def adafactor(w, g, t, h, state):
    def rms(x):
        return np.sqrt(np.mean(x**2))

    beta_2 = 1 - (t + 1.0) ** -0.8
    square = g**2 + 1e-30
    r = state["r"] = beta_2 * state.get("r", 0.0) + (1 - beta_2) * square.mean(-1)
    c = state["c"] = beta_2 * state.get("c", 0.0) + (1 - beta_2) * square.mean(-2)
    u = g / np.sqrt((r / r.mean(-1, keepdims=True))[:, None] * c[None, :])
    alpha = max(1e-3, rms(w)) * min(h["learning_rate"], 1 / np.sqrt(t + 1.0))
    return w - alpha * u / max(1.0, rms(u) / h["clip_threshold"])


def ftrl(w, g, t, h, state):
    lr = h["learning_rate"]
    old = state.get("a", 0.1)
    new = state["a"] = old + g**2
    sigma = (np.sqrt(new) - np.sqrt(old)) / lr
    z = state["z"] = state.get("z", 0.0) + g - sigma * w
    strength = h["l2_regularization_strength"] + h["beta"] / (2 * lr)
    return -z / (np.sqrt(new) / lr + 2 * strength)


def lion(w, g, t, h, state):
    m = state.get("m", 0.0)
    state["m"] = h["beta_2"] * m + (1 - h["beta_2"]) * g
    return w - h["learning_rate"] * np.sign(h["beta_1"] * m + (1 - h["beta_1"]) * g)


def lamb(w, g, t, h, state):
    m, v = _adam_means(g, h, state)
    root = np.sqrt(v / (1 - h["beta_2"] ** (t + 1))) + 1e-7
    step = m / (1 - h["beta_1"] ** (t + 1)) / root
    return w - np.linalg.norm(w) / np.linalg.norm(step) * h["learning_rate"] * step


def muon(w, g, t, h, state):
    m = state["m"] = h["momentum"] * state.get("m", 0.0) + g
    x = g + h["momentum"] * m
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x.T if tall else x
    return w - h["learning_rate"] * x * np.sqrt(max(x.shape)) * 0.2


def schedule_free(w, g, t, h, state):
    lr, beta_1, beta_2 = h["learning_rate"], h["beta_1"], h["beta_2"]
    z = state.get("z", state["start"])
    v = state["v"] = beta_2 * state.get("v", 0.0) + (1 - beta_2) * g**2
    new = state["z"] = z - lr * g / (np.sqrt(v / (1 - beta_2 ** (t + 1))) + 1e-8)
    # Keras 3.15 takes the average out of the weights with z after its move, not before.
    x = (w - (1 - beta_1) * new) / beta_1
    x = x + (new - x) / (t + 1)
    return (1 - beta_1) * new + beta_1 * x


def demon_adam(w, g, t, h, state):
    e = state["e"] = h["beta_2"] * state.get("e", 0.0) + (1 - h["beta_2"]) * g**2
    m = state["m"] = g + h["beta_1"] * state.get("m", 0.0)
    return w - h["learning_rate"] / np.sqrt(e + 1e-8) * m


def run(rule, schedules, start, gradient, steps, weight_decay=True):
    """Return the weights after every step."""
    w = np.array(start, dtype=np.float64)
    state = {"start": w}
    trace = []
    for t in range(steps):
        h = {name: float(schedule(t)) for name, schedule in schedules.items()}
        g = gradient(w)
        if weight_decay and "weight_decay" in h:
            w = w - h["weight_decay"] * h["learning_rate"] * w
        w = rule(w, g, t, h, state)
        trace.append(w)
    return np.array(trace)
