"""Programs with training steps of their own, as in Keras' examples; each is written anew."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

import keras_sched as ks
from tests.optimizers import reference
from tests.programs.probe import Part, Probe, Program, probe_of

rng = np.random.default_rng(0)
ADAM = {"learning_rate": 1e-3, "beta_1": 0.9, "beta_2": 0.999}


class Gan(keras.Model):
    """A generator and a discriminator, each with an optimizer: `model.optimizer` is unused."""

    def __init__(self, generator, discriminator, latent):
        super().__init__()
        self.generator, self.discriminator, self.latent = generator, discriminator, latent
        self.g_loss = keras.metrics.Mean("g_loss")
        self.d_loss = keras.metrics.Mean("d_loss")

    def compile(self, g_optimizer, d_optimizer, loss, jit_compile=False):
        super().compile(jit_compile=jit_compile)
        self.g_optimizer, self.d_optimizer, self.compare = g_optimizer, d_optimizer, loss

    @property
    def metrics(self):
        return [self.g_loss, self.d_loss]

    def train_step(self, real):
        count = tf.shape(real)[0]
        fake = self.generator(tf.random.normal([count, self.latent]))
        labels = tf.concat([tf.ones([count, 1]), tf.zeros([count, 1])], 0)
        with tf.GradientTape() as tape:
            guesses = self.discriminator(tf.concat([real, fake], 0), training=True)
            d_loss = self.compare(labels, guesses)
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply_gradients(zip(tape.gradient(d_loss, weights), weights, strict=True))
        with tf.GradientTape() as tape:
            fake = self.generator(tf.random.normal([count, self.latent]), training=True)
            g_loss = self.compare(tf.ones([count, 1]), self.discriminator(fake))
        weights = self.generator.trainable_weights
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        self.g_loss.update_state(g_loss)
        self.d_loss.update_state(d_loss)
        return {"g_loss": self.g_loss.result(), "d_loss": self.d_loss.result()}


def _generator():
    return keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(4 * 4 * 2),
            layers.Reshape((4, 4, 2)),
            layers.Conv2DTranspose(1, 4, strides=2, padding="same"),
            Probe(name="probe"),
        ]
    )


def _discriminator():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(2, 4, strides=2, padding="same"),
            layers.LeakyReLU(),
            layers.Flatten(),
            layers.Dense(1),
            Probe(name="probe"),
        ]
    )


def gan(jit):
    model = Gan(_generator(), _discriminator(), latent=4)
    g_optimizer = keras.optimizers.Adam(1e-3, beta_1=0.5)
    d_optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(g_optimizer, d_optimizer, loss, jit_compile=jit)
    generator = Part(
        g_optimizer,
        probe_of(model.generator),
        reference.adam,
        {"learning_rate": ks.REX(2e-3).warmup("1ep"), "beta_1": ks.Demon(0.5)},
        {**ADAM, "beta_1": 0.5},
    )
    discriminator = Part(
        d_optimizer,
        probe_of(model.discriminator),
        reference.sgd,
        {"momentum": ks.Demon(0.9), "learning_rate": ks.Cosine(0.02)},
        {"learning_rate": 0.01, "momentum": 0.9},
    )
    fit = {"x": rng.normal(size=(20, 8, 8, 1)).astype("float32"), "batch_size": 4}
    return Program(model, fit, 5, [generator, discriminator], has_loss=False)


class WassersteinGan(keras.Model):
    """A generator, and a critic with a penalty of its gradient that is updated more often."""

    def __init__(self, generator, critic, rounds):
        super().__init__()
        self.generator, self.critic, self.rounds = generator, critic, rounds

    def compile(self, g_optimizer, c_optimizer, jit_compile=False):
        super().compile(jit_compile=jit_compile)
        self.g_optimizer, self.c_optimizer = g_optimizer, c_optimizer

    def penalty(self, real, fake):
        between = real + tf.random.uniform([tf.shape(real)[0], 1]) * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(between)
            guesses = self.critic(between, training=True)
        slope = tape.gradient(guesses, between)
        return tf.reduce_mean((tf.sqrt(tf.reduce_sum(slope**2, 1) + 1e-12) - 1.0) ** 2)

    def train_step(self, real):
        count = tf.shape(real)[0]
        for _ in range(self.rounds):
            fake = self.generator(tf.random.normal([count, 4]), training=True)
            with tf.GradientTape() as tape:
                guesses = self.critic(tf.concat([fake, real], 0), training=True)
                loss = tf.reduce_mean(guesses[:count]) - tf.reduce_mean(guesses[count:])
                loss += 10.0 * self.penalty(real, fake)
            weights = self.critic.trainable_weights
            self.c_optimizer.apply_gradients(
                zip(tape.gradient(loss, weights), weights, strict=True)
            )
        with tf.GradientTape() as tape:
            fake = self.generator(tf.random.normal([count, 4]), training=True)
            g_loss = -tf.reduce_mean(self.critic(fake, training=True))
        weights = self.generator.trainable_weights
        self.g_optimizer.apply_gradients(zip(tape.gradient(g_loss, weights), weights, strict=True))
        return {"loss": loss, "g_loss": g_loss}


def wasserstein_gan(jit):
    generator = keras.Sequential([keras.Input((4,)), layers.Dense(6), Probe(name="probe")])
    critic = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(4),
            layers.LeakyReLU(),
            layers.Dense(1),
            Probe(name="probe"),
        ]
    )
    model = WassersteinGan(generator, critic, rounds=3)
    g_optimizer, c_optimizer = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)
    model.compile(g_optimizer, c_optimizer, jit_compile=jit)
    slow = Part(
        g_optimizer, probe_of(generator), reference.adam, {"learning_rate": ks.Linear(1e-3)}, ADAM
    )
    fast = Part(
        c_optimizer,
        probe_of(critic),
        reference.adam,
        {"learning_rate": ks.Linear(2e-3).warmup("3st"), "beta_1": ks.Demon(0.5)},
        ADAM,
        calls=3,
        options={"updates_per_batch": 3},
    )
    x = rng.normal(size=(20, 6)).astype("float32")
    return Program(model, {"x": x, "batch_size": 4}, 5, [slow, fast])


class Vae(keras.Model):
    """Three trackers, whose results are what `train_step` returns."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        names = ("loss", "reconstruction_loss", "kl_loss")
        self.trackers = [keras.metrics.Mean(name) for name in names]
        self.seed_generator = keras.random.SeedGenerator(0)

    @property
    def metrics(self):
        return self.trackers

    def train_step(self, x):
        with tf.GradientTape() as tape:
            mean, log_variance = ops.split(self.encoder(x), 2, axis=1)
            noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
            decoded = self.decoder(mean + ops.exp(0.5 * log_variance) * noise)
            reconstruction = ops.mean(ops.sum((x - decoded) ** 2, axis=1))
            kl = 1.0 + log_variance - mean**2 - ops.exp(log_variance)
            kl = -0.5 * ops.mean(ops.sum(kl, axis=1))
            loss = reconstruction + kl
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        for tracker, value in zip(self.trackers, (loss, reconstruction, kl), strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


def vae(jit):
    encoder = keras.Sequential([keras.Input((6,)), layers.Dense(4), Probe(name="probe")])
    model = Vae(encoder, keras.Sequential([keras.Input((2,)), layers.Dense(6)]))
    model.compile(keras.optimizers.Adamax(0.01), jit_compile=jit)
    schedules = {
        "learning_rate": ks.OneCycle(0.02),
        "beta_1": ks.OneCycleMomentum(0.95, low=0.85),
    }
    found = {**ADAM, "learning_rate": 0.01}
    part = Part(model.optimizer, probe_of(encoder), reference.adamax, schedules, found)
    x = rng.normal(size=(20, 6)).astype("float32")
    return Program(model, {"x": x, "batch_size": 4}, 5, [part])


class SimSiam(keras.Model):
    """Two views of a sample; the gradient stops on one side."""

    def __init__(self, encoder, predictor):
        super().__init__()
        self.encoder, self.predictor = encoder, predictor
        self.tracker = keras.metrics.Mean("loss")

    @property
    def metrics(self):
        return [self.tracker]

    def train_step(self, data):
        def distance(p, z):
            p, z = ops.normalize(p, axis=1), ops.normalize(ops.stop_gradient(z), axis=1)
            return -ops.mean(ops.sum(p * z, axis=1))

        with tf.GradientTape() as tape:
            codes = [self.encoder(view) for view in data]
            guesses = [self.predictor(code) for code in codes]
            loss = (distance(guesses[0], codes[1]) + distance(guesses[1], codes[0])) / 2
        weights = self.encoder.trainable_variables + self.predictor.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}


def simsiam(jit):
    encoder = keras.Sequential([keras.Input((6,)), layers.Dense(4), layers.BatchNormalization()])
    predictor = keras.Sequential([keras.Input((4,)), layers.Dense(4), Probe(name="probe")])
    model = SimSiam(encoder, predictor)
    model.compile(keras.optimizers.SGD(0.03, momentum=0.6), jit_compile=jit)
    schedules = {
        "learning_rate": ks.Cosine(0.03).warmup("10%"),
        "momentum": ks.CosineMomentum(0.6, end=0.95),
    }
    found = {"learning_rate": 0.03, "momentum": 0.6}
    rule = reference.sgd
    part = Part(model.optimizer, probe_of(predictor), rule, schedules, found, gradient=2.0)
    x = rng.normal(size=(2, 20, 6)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices(tuple(x)).shuffle(20, seed=0).batch(4)
    return Program(model, {"x": data}, 5, [part])


class Distiller(keras.Model):
    """A student that learns from labels and from a teacher, through `compute_loss`."""

    def __init__(self, student, teacher):
        super().__init__()
        self.student, self.teacher = student, teacher
        self.teacher.trainable = False

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        soft = ops.softmax(self.teacher(x, training=False) / 3.0)
        distilled = keras.losses.kl_divergence(soft, ops.softmax(y_pred / 3.0))
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        return 0.1 * own + 0.9 * ops.mean(distilled)

    def call(self, x):
        return self.student(x)


def distiller(jit):
    def network(width):
        return keras.Sequential([keras.Input((6,)), layers.Dense(width), layers.Dense(3)])

    student = keras.Sequential([network(2), Probe(name="probe")])
    model = Distiller(student, network(8))
    model.build((None, 6))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=0.01), loss, metrics=["acc"], jit_compile=jit
    )
    schedules = {"learning_rate": ks.WSD(0.01), "weight_decay": ks.Linear(0.0, end=0.1)}
    found = {**ADAM, "weight_decay": 0.01}
    part = Part(model.optimizer, probe_of(student), reference.adam, schedules, found)
    x = rng.normal(size=(20, 6)).astype("float32")
    return Program(model, {"x": x, "y": np.argmax(x[:, :3], 1), "batch_size": 4}, 5, [part])


class Alternating(Gan):
    """A generator that is updated in every second batch only, under a condition."""

    def compile(self, *args, **options):
        super().compile(*args, **options)
        self.count = tf.Variable(0, trainable=False)

    def train_step(self, real):
        count = tf.shape(real)[0]
        noise = tf.random.normal([count, self.latent])
        with tf.GradientTape(persistent=True) as tape:
            guesses = self.discriminator(self.generator(noise), training=True)
            g_loss = self.compare(tf.ones([count, 1]), guesses)
            d_loss = self.compare(tf.zeros([count, 1]), guesses)
            d_loss += self.compare(tf.ones([count, 1]), self.discriminator(real, training=True))
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply(tape.gradient(d_loss, weights), weights)
        weights = self.generator.trainable_weights
        gradients = tape.gradient(g_loss, weights)
        tf.cond(
            self.count.assign_add(1) % 2 == 0,
            lambda: self.g_optimizer.apply(gradients, weights),
            lambda: None,
        )
        return {"loss": d_loss}


def alternating(jit):
    generator = keras.Sequential([keras.Input((4,)), layers.Dense(6), Probe(name="probe")])
    discriminator = keras.Sequential([keras.Input((6,)), layers.Dense(1), Probe(name="probe")])
    model = Alternating(generator, discriminator, latent=4)
    g_optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    d_optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    g_optimizer.build(generator.trainable_variables)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(g_optimizer, d_optimizer, loss, jit_compile=jit)
    schedules = {"learning_rate": ks.REX(0.02), "momentum": ks.Demon(0.9)}
    found = {"learning_rate": 0.01, "momentum": 0.9}
    slow = Part(
        g_optimizer,
        probe_of(generator),
        reference.sgd,
        schedules,
        found,
        calls=0.5,
        options={"updates_per_batch": 0.5},
    )
    fast = Part(d_optimizer, probe_of(discriminator), reference.sgd, schedules, found, gradient=2.0)
    x = rng.normal(size=(20, 6)).astype("float32")
    return Program(model, {"x": x, "batch_size": 4}, 5, [slow, fast])
