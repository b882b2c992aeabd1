"""What a type checker must not let pass: each line with the mark has an error, and no other."""

from __future__ import annotations

import keras_sched as ks

ks.Cosine(0.1, 1000)  # refused: the second is no length
ks.REX("0.1")  # refused
ks.REX(0.1, steps="100")  # refused: that is `length`
ks.REX(0.1, length=0.5)  # refused: half of what?
ks.REX(0.1, stepz=100)  # refused
ks.REX()  # refused
ks.Triangular(0.0, 1.0, 2)  # refused
ks.Step(0.1)  # refused
ks.PiecewiseConstant(0.1, boundaries=[5])  # refused
ks.PiecewiseConstant([1, 0.1], boundaries=5)  # refused
ks.MultiStep(0.1, at=0.5)  # refused
ks.Warmup(0.1, length=5)  # refused
ks.OneCycle(0.1, three_phase="yes")  # refused
ks.Duration(30, "epochs")  # refused
ks.Run(1000, 100)  # refused
ks.REX(0.1).warmup("1ep", 0.0)  # refused
ks.REX(0.1).warmup(1.5)  # refused
ks.REX(0.1).cooldown("1ep", 0.0)  # refused
ks.REX(0.1).repeat(8, True)  # refused
ks.REX(0.1).sampled("1ep")  # refused
ks.REX(0.1).then(0.5)  # refused
ks.simulate(ks.REX(0.1), 100)  # refused
ks.plot(ks.REX(0.1), n="all")  # refused
ks.Scheduler(learning_rate=0.1)  # refused
ks.optimizers.SGD(0.1, 0.9)  # refused
ks.REX(0.1).start = 0.2  # refused: a schedule does not change
steps: str = ks.REX(0.1, steps=5).steps  # refused
