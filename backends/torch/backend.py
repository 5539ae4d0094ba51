"""PyTorch, channels last; eager on a CPU, steps as CUDA graphs on a GPU (`graph.py`).

Weights are kept in torch's own layouts and permuted at the boundary.

Variants: `compile` has TorchInductor compile training's passes, once for each size of batch;
`channels_last=false` keeps images and activations as NCHW; `precision` is that of products and convolutions:
`tf32` on tensor cores, or `bf16` by autocast.  Weights and Adam stay in float32.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from torch.backends import cudnn
from torch.nn import functional as F
from torch.optim.adam import adam

from lockstep.backend import Backend
from lockstep.spec import Activation, AvgPool, Conv2D, Dense, Dropout, Flatten, MaxPool, relu_after_pool

from .graph import Graphs

api = 1
runs_on = ("cpu", "gpu")
options = {
    "compile": (False, True),
    "channels_last": (True, False),
    "precision": ("float32", "tf32", "bf16"),
}
gpu_only = {"precision": ("tf32",)}
no_space = {"compile": (True,)}  # TorchInductor gives a linker paths without quotes

FUNCTIONS = {"relu": F.relu, "swish": F.silu, "tanh": torch.tanh}
FEW = 4
"""Channels of images, whose gradient is worth a way of its own: see `_ConvolutionOfImages`."""
TO_TORCH = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}  # HWIO -> OIHW, (in, out) -> (out, in), bias
FROM_TORCH = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}


class TorchBackend(Backend):
    def __init__(
        self,
        spec,
        optimizer,
        *,
        device,
        dtype,
        threads,
        deterministic,
        compile,
        channels_last,
        precision,
    ):
        torch.set_num_threads(threads)
        cudnn.allow_tf32 = precision == "tf32"
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        if device == "gpu" and deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # nothing here reads it
            cudnn.benchmark = False
        self.require(device)
        self.spec, self.optimizer = spec, optimizer
        self.nodes = relu_after_pool(spec.nodes)
        self.device = torch.device("cuda" if device == "gpu" else "cpu")
        self.dtype = getattr(torch, dtype)
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.bf16 = precision == "bf16"
        self.trained = self._compiled() if compile else self._forward
        self.weights = {name: self._weight(np.zeros(shape)) for name, shape in spec.weights.items()}
        self.m = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        self.v = {name: torch.zeros_like(weight) for name, weight in self.weights.items()}
        # Steps so late that PyTorch corrects no bias of the moments any more: the harness's scales do.
        self.late = [torch.tensor(1e9, device=self.device) for _ in self.weights]
        self.graphs = Graphs(self._step) if device == "gpu" else None

    def load(self, state):
        for name, weight in self.weights.items():
            zero = np.zeros(self.spec.weights[name])
            weight.copy_(self._weight(state[name]))
            self.m[name].copy_(self._weight(state.get(f"adam/m/{name}", zero)))
            self.v[name].copy_(self._weight(state.get(f"adam/v/{name}", zero)))

    def dump(self):
        groups = {"": self.weights, "adam/m/": self.m, "adam/v/": self.v}
        return {
            prefix + name: _canonical(tensor)
            for prefix, tensors in groups.items()
            for name, tensor in tensors.items()
        }

    def train_steps(self, images, targets, masks, scales, weight_noise=None):
        images, targets = self._images(images), self._tensor(targets)
        masks = self._masks(masks)
        # A graph reads numbers from memory: one of Python's would stay as it was when it was recorded.
        scales = self._tensor(scales) if self.graphs else scales.tolist()
        step, logits = self.graphs or self._step, []
        for k in range(len(images)):
            step_masks = {name: mask[k] for name, mask in masks.items()}
            noise = self._noise({name: draw[k] for name, draw in (weight_noise or {}).items()})
            logits.append(step(images[k], targets[k], step_masks, scales[k], noise))
        return _Later(torch.stack(logits))

    def _step(self, images, targets, masks, scales, noise):
        weights = self._leaves(noise)
        output = self.trained(images, weights, masks)
        loss = F.cross_entropy(output, targets)
        self._adam(_gradients(loss, weights), *scales)
        return output.detach()

    def logits(self, images, masks=None):
        with torch.inference_mode():
            return self._outputs(self._forward(self._images(images), self.weights, self._masks(masks)))

    def vjp(self, images, masks=None):
        x = self._images(images).requires_grad_()
        logits = self._forward(x, self.weights, self._masks(masks))

        def pullback(cotangent):
            cotangent = _channels_first(self._tensor(cotangent), self.spec.output_shape)
            (gradient,) = torch.autograd.grad(logits, x, cotangent, retain_graph=True)
            return _array(gradient, self.spec.input_shape)

        return self._outputs(logits.detach()), pullback

    def loss_and_gradients(self, images, targets, masks=None, weight_noise=None):
        weights = self._leaves(self._noise(weight_noise or {}))
        logits = self.trained(self._images(images), weights, self._masks(masks))
        loss = F.cross_entropy(logits, self._tensor(targets))
        gradients = _gradients(loss, weights)
        return loss.item(), {name: _canonical(g) for name, g in zip(weights, gradients, strict=True)}

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_memory(self):
        return torch.cuda.max_memory_allocated(self.device) if self.device.type == "cuda" else None

    @classmethod
    def devices(cls):
        return ("cpu", "gpu") if torch.cuda.is_available() else ("cpu",)

    @classmethod
    def environment(cls):
        return {
            "torch": torch.__version__,
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "threads": str(torch.get_num_threads()),
            "mkldnn": str(torch.backends.mkldnn.enabled),
            "deterministic_algorithms": str(torch.are_deterministic_algorithms_enabled()),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
            "cuda": torch.version.cuda or "none",
            "cudnn": str(cudnn.version() or "none"),
            "cudnn_benchmark": str(cudnn.benchmark),
            "CUBLAS_WORKSPACE_CONFIG": os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""),
            "tf32": f"products {torch.get_float32_matmul_precision()}, cudnn {cudnn.allow_tf32}",
        }

    def _tensor(self, array):
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, self.dtype)

    def _images(self, images):
        # Channels last, this is a view: the harness's arrays are NHWC.
        images = _channels_first(self._tensor(images), self.spec.input_shape)
        return images if self.layout is torch.channels_last else images.contiguous()

    def _masks(self, masks):
        if masks is None:
            return None
        nodes = self.spec.dropouts
        return {
            name: _channels_first(self._tensor(mask), nodes[name].input_shape) for name, mask in masks.items()
        }

    def _outputs(self, logits):
        return _array(logits, self.spec.output_shape)

    def _weight(self, array):
        weight = self._tensor(array).permute(TO_TORCH[array.ndim])
        return weight.clone(memory_format=self.layout if weight.ndim == 4 else torch.contiguous_format)

    def _as_weights(self, gradients):
        """In the memory's order of the weights: a fused Adam takes it to be the same, and does not look."""
        return [
            gradient.contiguous(memory_format=self.layout) if gradient.ndim == 4 else gradient
            for gradient in gradients
        ]

    def _noise(self, draws):
        return {name: self._weight(draw) for name, draw in draws.items()}

    def _leaves(self, noise):
        """The weights, plus noise where given, as the leaves that gradients are taken by."""
        return {
            name: (weight + noise[name] if name in noise else weight.detach()).requires_grad_()
            for name, weight in self.weights.items()
        }

    def _compiled(self):
        torch._dynamo.config.recompile_limit = 64  # sizes of batches, with and without masks
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        return torch.compile(self._forward, dynamic=False, fullgraph=True)

    def _forward(self, x, weights, masks):
        # Weights change in place between calls, so that no cast of them can be kept.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=False):
            return self._layers(x, weights, masks).to(self.dtype)

    def _layers(self, x, weights, masks):
        for node in self.nodes:
            layer = node.layer
            match layer:
                case Conv2D():
                    kernel, bias = weights[f"{node.name}/kernel"], weights[f"{node.name}/bias"]
                    (top, bottom), (left, right) = node.pads
                    attacked = x.requires_grad and x.is_leaf and x.device.type == "cpu" and not self.bf16
                    if attacked and layer.stride == 1 and x.shape[1] <= FEW:
                        x = _ConvolutionOfImages.apply(F.pad(x, (left, right, top, bottom)), kernel, bias)
                    elif top == bottom and left == right:
                        x = F.conv2d(x, kernel, bias, layer.stride, (top, left))
                    else:
                        x = F.pad(x, (left, right, top, bottom))
                        x = F.conv2d(x, kernel, bias, layer.stride)
                case Dense():
                    x = F.linear(x, weights[f"{node.name}/kernel"], weights[f"{node.name}/bias"])
                case MaxPool():
                    x = F.max_pool2d(x, layer.size)
                case AvgPool():
                    x = F.avg_pool2d(x, layer.size)
                case Flatten() if x.ndim == 4:
                    x = x.movedim(1, -1).flatten(1)
                case Activation(function="leaky_relu"):
                    x = F.leaky_relu(x, layer.slope)
                case Activation():
                    x = FUNCTIONS[layer.function](x)
                case Dropout() if masks is not None:
                    x = x * (masks[node.name] * (1 / (1 - layer.rate)))
        return x

    @torch.no_grad()
    def _adam(self, gradients, s1, s2):
        """w -= s1 m / (s2 sqrt(v) + eps), by PyTorch's own Adam, which takes one pass: divided by s2.

        Its eps is a number of Python's; where scales are tensors, the same is written out.
        """
        weights, m, v = (list(tensors.values()) for tensors in (self.weights, self.m, self.v))
        if isinstance(s1, torch.Tensor):
            _adam_written_out(weights, list(gradients), m, v, s1, s2, self.optimizer)
            return
        adam(
            weights,
            self._as_weights(gradients),
            m,
            v,
            [],
            self.late,
            fused=True,
            amsgrad=False,
            beta1=self.optimizer.b1,
            beta2=self.optimizer.b2,
            lr=s1 / s2,
            weight_decay=0,
            eps=self.optimizer.eps / s2,
            maximize=False,
        )


def _adam_written_out(weights, gradients, m, v, s1, s2, optimizer):
    """Of all weights at once, in place; s1 and s2 are tensors of one number."""
    if not weights:
        return
    torch._foreach_mul_(m, optimizer.b1)
    torch._foreach_add_(m, gradients, alpha=1 - optimizer.b1)
    torch._foreach_mul_(v, optimizer.b2)
    torch._foreach_addcmul_(v, gradients, gradients, value=1 - optimizer.b2)
    roots = torch._foreach_sqrt(v)
    torch._foreach_mul_(roots, s2)
    torch._foreach_add_(roots, optimizer.eps)
    steps = torch._foreach_div(m, roots)
    torch._foreach_mul_(steps, s1)
    torch._foreach_sub_(weights, steps)


class _ConvolutionOfImages(torch.autograd.Function):
    """conv2d, stride 1, with a gradient by images alone: a matrix product and shifted sums.

    With one channel it takes a fifth of the time of oneDNN's, which has little to vectorise there.
    """

    @staticmethod
    def forward(ctx, x, kernel, bias):
        ctx.save_for_backward(kernel)
        ctx.shape = x.shape
        return F.conv2d(x, kernel, bias)

    @staticmethod
    def backward(ctx, gradient):
        (kernel,) = ctx.saved_tensors
        outputs, channels, rows, columns = kernel.shape
        n, _, height, width = gradient.shape
        by_tap = kernel.permute(2, 3, 1, 0).reshape(-1, outputs)
        taps = by_tap @ gradient.permute(0, 2, 3, 1).reshape(-1, outputs).T
        taps = taps.reshape(rows, columns, channels, n, height, width)
        found = gradient.new_zeros(channels, n, *ctx.shape[2:])
        for row in range(rows):
            for column in range(columns):
                found[..., row : row + height, column : column + width] += taps[row, column]
        return found.movedim(0, 1), None, None


class _Later:
    """A tensor that is copied to the host when it is read, so that a GPU can work on meanwhile."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __array__(self, dtype=None, copy=None):
        return self.tensor.cpu().numpy()


def _gradients(loss, weights):
    return torch.autograd.grad(loss, list(weights.values())) if weights else ()


def _channels_first(tensor, shape):
    """[..., H, W, C] seen as [..., C, H, W] where `shape`, without the batch, is an image's."""
    return tensor.movedim(-1, -3) if len(shape) == 3 else tensor


def _array(tensor, shape):
    tensor = tensor.movedim(-3, -1) if len(shape) == 3 else tensor
    return np.ascontiguousarray(tensor.cpu().numpy())


def _canonical(weight):
    return np.array(weight.permute(FROM_TORCH[weight.ndim]).cpu().numpy(), order="C")
