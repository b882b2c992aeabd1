"""What is said of numeric precision."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest

import keras_sched as ks
from keras_sched.advice.precision import cyclic
from tests.advice.made_up import row

ASKED = {"task": "image classification", "optimizer": "sgd", "budget": 0.1}


@pytest.mark.parametrize("seed", range(5))
def test_cyclic_bits_are_compared_with_static_ones_in_all_else_alike(seed):
    """Of CR, with as many bits at most, whatever the order; what is alone is left out."""
    given = [
        row(precision="static 8/8", loss=10.0),
        row(precision="CR 3-8/8", loss=11.0),
        row(precision="CPT 3-8/8", loss=9.0),
        row(precision="ER 3-8/8", loss=5.0),
        # Each is another thing in one way only.
        row(precision="CPT 3-8/8", loss=12.0, source="another"),
        row(precision="CR 3-8/8", loss=12.0, budget=0.5),
        row(precision="CR 3-8/8", loss=12.0, momentum="Demon"),
        row(precision="CR 3-8/4", loss=12.0),
        row(precision="CR 3-6/8", loss=12.0),
        row(precision="CPT 8-32", loss=12.0),
        row(precision="float32", loss=8.0),
        row(precision="static 4/8", loss=13.0),
        row(precision="static 8/8", setting="B", loss=5.0, measured_by="others"),
        row(precision="CPT 3-8/8", setting="B", loss=4.0, measured_by="authors"),
    ]
    random.Random(seed).shuffle(given)
    found = cyclic(given)
    assert found.keys() == {"authors", "here"}
    assert sorted(found["here"]) == pytest.approx([math.log(0.9), math.log(1.1)])
    assert found["authors"] == pytest.approx([math.log(0.8)])


def test_what_cyclic_bits_cost_is_said_of_the_family_to_who_asks():
    own = [row(precision="static 8/8"), row(precision="CR 3-8/8", loss=11.0)]
    own = [dataclasses.replace(each, family="tabular") for each in own]
    asked = {"task": "tabular", "optimizer": "sgd", "fear": "cost"}
    before, after = (ks.recommend(**asked, evidence=each).precision for each in ([], own))
    assert "elsewhere their loss was" in before and "by the method's authors" in before
    assert "in this family of tasks their loss was 9.5 % higher in 1 comparison here" in after
    assert "comparison" not in ks.recommend(**{**asked, "fear": None}).precision


def test_short_budgets_get_no_cyclic_bits():
    assert "No cyclic bits" in ks.recommend(**ASKED).precision
    assert "No cyclic bits" not in ks.recommend(**{**ASKED, "budget": 1.0}).precision
