"""Keras on TensorFlow: Keras layers, with K training steps compiled into one graph."""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from lockstep.backend import Backend
from lockstep.errors import LockstepError
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool

api = 1
runs_on = ("cpu", "gpu")

tf.get_logger().setLevel("ERROR")


class KerasBackend(Backend):
    def __init__(self, spec, optimizer, *, device, dtype, threads, deterministic):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)  # one operation after another, on all threads
        tf.config.experimental.enable_tensor_float_32_execution(False)
        if device == "gpu" and deterministic:
            os.environ["TF_DETERMINISTIC_OPS"] = "1"  # says so in `environment`
            tf.config.experimental.enable_op_determinism()
        self.require(device)
        self._pin(dtype)
        self.spec, self.optimizer, self.dtype = spec, optimizer, tf.as_dtype(dtype)
        self.device = f"/{device.upper()}:0"
        with tf.device(self.device):
            self.layers = {node.name: _layer(node) for node in spec.nodes}
            self._forward(tf.zeros((1, *spec.input_shape), dtype), None)  # builds the weights
            self.weights = {
                f"{node.name}/{part}": getattr(self.layers[node.name], part)
                for node in spec.nodes
                for part in node.weights
            }
            self.m = {name: tf.Variable(tf.zeros_like(weight)) for name, weight in self.weights.items()}
            self.v = {name: tf.Variable(tf.zeros_like(weight)) for name, weight in self.weights.items()}
        # XLA makes one pass over the weights of a dozen.  On a GPU it would ask for CUDA's compiler.
        self._update = tf.function(self._adam, autograph=False, jit_compile=device == "cpu")
        self._steps, self._logits, self._pull, self._gradients = (
            tf.function(body, autograph=False, reduce_retracing=True)
            for body in (self._all_steps, self._forward, self._pullback, self._loss_and_gradients)
        )

    @staticmethod
    def _pin(dtype):
        """What `keras.json` in a person's home may say otherwise, or a notebook before."""
        if keras.config.backend() != "tensorflow":
            wrong = f"keras was imported with its {keras.config.backend()} backend"
            raise LockstepError(f"{wrong}, and this plugin needs tensorflow's: restart the process")
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        keras.config.set_image_data_format("channels_last")

    def load(self, state):
        for name, weight in self.weights.items():
            zero = np.zeros(weight.shape)
            weight.assign(self._tensor(state[name]))
            self.m[name].assign(self._tensor(state.get(f"adam/m/{name}", zero)))
            self.v[name].assign(self._tensor(state.get(f"adam/v/{name}", zero)))

    def dump(self):
        groups = {"": self.weights, "adam/m/": self.m, "adam/v/": self.v}
        return {
            prefix + name: np.array(tensor)
            for prefix, tensors in groups.items()
            for name, tensor in tensors.items()
        }

    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        batches = self._tensor(images), self._tensor(targets), _masks(masks)
        steps = (
            self._tensor(scales),
            {name: self._tensor(draw) for name, draw in (weight_noise or {}).items()},
        )
        # One graph for all K and B: only the images' and weights' own axes are fixed.
        signature = *_free(batches, 2), *_free(steps, 1)
        with tf.device(self.device):
            return self._steps.get_concrete_function(*signature)(*batches, *steps)

    def logits(self, images, masks=None):
        with tf.device(self.device):
            return self._logits(self._tensor(images), _masks(masks)).numpy()

    def vjp(self, images, masks=None):
        x, masks = self._tensor(images), _masks(masks)

        def pullback(cotangent):  # a compiled forward and backward pass is faster than keeping a tape
            with tf.device(self.device):
                return self._pull(x, masks, self._tensor(cotangent)).numpy()

        with tf.device(self.device):
            return self._logits(x, masks).numpy(), pullback

    def loss_and_gradients(self, images, targets, masks=None, weight_noise=None):
        noise = {name: self._tensor(draw) for name, draw in (weight_noise or {}).items()}
        with tf.device(self.device):
            loss, _, gradients = self._gradients(
                self._tensor(images), self._tensor(targets), _masks(masks), noise
            )
        return float(loss), {name: gradient.numpy() for name, gradient in gradients.items()}

    def synchronize(self):
        with tf.device(self.device):
            tf.test.experimental.sync_devices()

    def peak_memory(self):
        gpu = "GPU" in self.device
        return tf.config.experimental.get_memory_info(self.device)["peak"] if gpu else None

    @classmethod
    def devices(cls):
        return ("cpu", "gpu") if tf.config.list_physical_devices("GPU") else ("cpu",)

    @classmethod
    def environment(cls):
        return {
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "threads": str(tf.config.threading.get_intra_op_parallelism_threads()),
            "gpus": str(len(tf.config.list_physical_devices("GPU"))),
            "TF_DETERMINISTIC_OPS": os.environ.get("TF_DETERMINISTIC_OPS", ""),
            "jit_compile": "Adam, on a CPU",
            "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default"),
            "image_data_format": keras.config.image_data_format(),
            "tf32": str(tf.config.experimental.tensor_float_32_execution_enabled()),
        }

    def _tensor(self, array):
        return tf.constant(array, self.dtype)

    def _all_steps(self, images, targets, masks, scales, noise):
        def step(batch):
            images, targets, masks, scales, noise = batch
            _, logits, gradients = self._loss_and_gradients(images, targets, masks, noise)
            self._update(gradients, scales[0], scales[1])
            return logits

        batches = images, targets, masks, scales, noise
        return tf.map_fn(step, batches, parallel_iterations=1, fn_output_signature=self.dtype)

    def _adam(self, gradients, s1, s2):
        b1, b2, eps = self.optimizer.b1, self.optimizer.b2, self.optimizer.eps
        for name, gradient in gradients.items():
            m = self.m[name].assign(b1 * self.m[name] + (1 - b1) * gradient)
            v = self.v[name].assign(b2 * self.v[name] + (1 - b2) * (gradient * gradient))
            self.weights[name].assign_sub(s1 * m / (tf.sqrt(v) * s2 + eps))

    def _loss_and_gradients(self, images, targets, masks, noise):
        with tf.GradientTape() as tape:
            noisy = [(self.weights[name], self.weights[name] + draw) for name, draw in noise.items()]
            with keras.StatelessScope(noisy):
                logits = self._forward(images, masks)
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
        return (
            loss,
            logits,
            tape.gradient(loss, {name: weight.value for name, weight in self.weights.items()}),
        )

    def _pullback(self, x, masks, cotangent):
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = self._forward(x, masks)
        return tape.gradient(logits, x, output_gradients=cotangent)

    def _forward(self, x, masks):
        for node in self.spec.nodes:
            if not isinstance(node.layer, Dropout):
                x = self.layers[node.name](x)
            elif masks is not None:
                x = x * (tf.cast(masks[node.name], x.dtype) * (1 / (1 - node.layer.rate)))
        return x


class Product(keras.layers.Dense):
    """With a gradient by its inputs that oneDNN computes twice as fast: as columns, not rows."""

    def call(self, inputs):
        return tf.nn.bias_add(_product(inputs, self.kernel.value), self.bias.value)


@tf.custom_gradient
def _product(x, kernel):
    def gradients(cotangent):
        by_x = tf.transpose(tf.matmul(kernel, cotangent, transpose_b=True))
        return by_x, tf.matmul(x, cotangent, transpose_a=True)

    return tf.matmul(x, kernel), gradients


class FullPadding(keras.layers.Conv2D):
    """Keras has valid and same padding; full puts kernel - 1 zeros on every side."""

    def build(self, input_shape):
        self.zeros = [[0, 0], *[[k - 1, k - 1] for k in self.kernel_size], [0, 0]]
        # Keras refuses a kernel that is larger than the images, which here are padded first.
        super().build(tuple(n and n + sum(z) for n, z in zip(input_shape, self.zeros, strict=True)))

    def call(self, inputs):
        return super().call(tf.pad(inputs, self.zeros))


def _layer(node):
    layer = node.layer
    match layer:
        case Conv2D(padding="full"):
            return FullPadding(layer.filters, layer.kernel, layer.stride, "valid")
        case Conv2D():
            return keras.layers.Conv2D(layer.filters, layer.kernel, layer.stride, layer.padding)
        case MaxPool():
            return keras.layers.MaxPooling2D(layer.size)
        case AvgPool():
            return keras.layers.AveragePooling2D(layer.size)
        case Flatten():
            return keras.layers.Flatten()
        case Dense():
            return Product(layer.units)
        case Activation(function="leaky_relu"):
            # tf.nn.leaky_relu keeps its slope in float32, which float64 runs would notice.
            return lambda x: tf.where(x > 0, x, layer.slope * x)
        case Activation():
            return keras.layers.Activation(layer.function)
    return None  # dropout has no Keras layer here: its masks come from the harness


def _masks(masks):
    return masks if masks is None else {name: tf.constant(mask) for name, mask in masks.items()}


def _free(tensors, axes):
    """The tensors' signature with the first `axes` sizes left open."""
    return tf.nest.map_structure(lambda t: tf.TensorSpec([None] * axes + t.shape[axes:], t.dtype), tensors)
