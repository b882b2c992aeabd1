"""Small models whose weights tell what each step did, and trainings that end in many ways."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

ONES = np.ones([24, 1], "float32")
BATCH = 4
STEPS = len(ONES) // BATCH  # of an epoch


def falls(y_true, y_pred):
    """A loss whose gradient is 1, whatever the weight is."""
    return tf.reduce_mean(y_pred, axis=-1)


def line(optimizer=None, **compiled) -> keras.Model:
    """One weight: after a step of plain SGD it is lower by the learning rate."""
    model = keras.Sequential(
        [keras.Input([1]), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    compiled = {"jit_compile": False} | compiled
    model.compile(optimizer or keras.optimizers.SGD(0.5), falls, **compiled)
    return model


class Weights(keras.callbacks.Callback):
    """Keeps the weight before the first step and after each."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[float] = []

    def on_train_batch_begin(self, batch, logs=None):
        if not self.seen:
            self._look()

    def on_train_batch_end(self, batch, logs=None):
        self._look()

    def _look(self) -> None:
        self.seen.append(float(self.model.get_weights()[0][0, 0]))

    @property
    def rates(self) -> np.ndarray:
        """The learning rate of every step, by the weights."""
        return -np.diff(np.array(self.seen))


def fit(model, *callbacks, epochs=2, **options):
    options = {"batch_size": BATCH, "shuffle": False, "verbose": 0} | options
    x, y = options.pop("data", (ONES, ONES))
    return model.fit(x, y, epochs=epochs, callbacks=list(callbacks), **options)


class Stopped(Exception):
    """What ends a training that is interrupted."""


class StopIn(keras.callbacks.Callback):
    """Raises in one hook, at the first call or, of those that are called often, the second."""

    def __init__(self, hook: str, error: type[BaseException] = Stopped) -> None:
        super().__init__()
        calls = []

        def stop(*args, **kwargs):
            calls.append(hook)
            if len(calls) == 2 or hook in ("on_train_begin", "on_train_end"):
                raise error

        setattr(self, hook, stop)


class Pair(keras.Model):
    """A model of two parts with an optimizer each, as a GAN: `compile` gives Keras none of them."""

    def __init__(self, critic_steps: int = 1) -> None:
        super().__init__()
        self.generator = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        self.critic = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        self.generator.build([None, 1])
        self.critic.build([None, 1])
        self.critic_steps = critic_steps
        self.built = True

    def compile(self, g_optimizer, d_optimizer, **options):
        super().compile(**options)
        self.g_optimizer, self.d_optimizer = g_optimizer, d_optimizer

    def call(self, x):
        return self.generator(x) + self.critic(x)

    def train_step(self, data):
        x, _ = data
        for part, optimizer, times in (
            (self.critic, self.d_optimizer, self.critic_steps),
            (self.generator, self.g_optimizer, 1),
        ):
            for _ in range(times):
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean(part(x))
                gradients = tape.gradient(loss, part.trainable_variables)
                optimizer.apply_gradients(zip(gradients, part.trainable_variables, strict=True))
        return {"loss": loss}


def pair(critic_steps: int = 1, **compiled) -> Pair:
    model = Pair(critic_steps)
    model.compile(
        keras.optimizers.SGD(0.5, momentum=0.5, name="gen"),
        keras.optimizers.SGD(0.25, name="crit"),
        jit_compile=False,
        **compiled,
    )
    model.g_optimizer.build(model.generator.trainable_variables)
    model.d_optimizer.build(model.critic.trainable_variables)
    return model
