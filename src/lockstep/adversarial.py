"""Training on attacked images: each step's images are attacked first, on the network as it stands.

Goodfellow et al. (2015), "Explaining and harnessing adversarial examples" (fgsm); Madry et al. (2018),
"Towards deep learning models resistant to adversarial attacks" (pgd); Zhang et al. (2019), "Theoretically
principled trade-off between robustness and accuracy" (trades).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from lockstep.attacks import balls
from lockstep.attacks.attack import Attack
from lockstep.attacks.gradient import FGSM, PGD
from lockstep.attacks.victim import Victim
from lockstep.backend import Backend
from lockstep.data.batches import Chunk
from lockstep.data.dataset import Affine
from lockstep.data.draws import Stream, by_image
from lockstep.evaluation import correct, cross_entropy, probabilities
from lockstep.experiment import Adversarial

TRADES_START = 0.001
"""Deviation of the normal noise that its attack starts from: at the image itself its loss is flat."""


def attack_of(settings: Adversarial) -> Attack:
    """The last iterate is kept, as in the papers: the network learns from where the attack is."""
    if settings.attack == "fgsm":
        return FGSM(settings.eps)
    pgd = PGD(settings.eps, steps=settings.steps, step=settings.step, keep="last")
    return _Apart(pgd) if settings.trades else pgd


def attacked(
    chunks: Iterable[Chunk], backend: Backend, affine: Affine, settings: Adversarial, seed: int
) -> Iterator[Chunk]:
    """Chunks of pixels in [0, 1] -> chunks of one step each, attacked and preprocessed.

    A step is attacked when it is asked for, after the step before it has been taken.  Dropout and noise in
    the weights are for learning alone: the attack sees the network as it will be used.
    """
    attack = attack_of(settings)
    for chunk in chunks:
        for step in range(len(chunk.images)):
            one = chunk.cut(slice(step, step + 1))
            count, dtype = one.images.shape[1], one.images.dtype.name
            victim = Victim(backend, affine, dtype, batch=count)
            labels = one.targets[0].argmax(axis=-1)
            found = attack(victim, one.images[0], labels, seed, one.first_step * count)
            if settings.trades:
                yield _trades(victim, one, found, settings.trades)
            else:
                yield replace(one, images=affine.of_unit(found, dtype)[np.newaxis])


@dataclass(frozen=True)
class _Apart:
    """Uphill on KL(p(clean) || p(attacked)), the second half of the TRADES loss; labels play no part."""

    pgd: PGD

    def __call__(
        self, victim: Victim, images: np.ndarray, labels: np.ndarray, seed: int = 0, first: int = 0
    ) -> np.ndarray:
        def noise(draw: np.random.Generator) -> np.ndarray:
            return TRADES_START * draw.standard_normal(images.shape[1:])

        start = images + by_image(seed, Stream.ATTACK_START, first, len(images), noise)
        x, clean = balls.clip(start).astype(np.float32), probabilities(victim.logits(images))
        for _ in range(self.pgd.steps):
            gradient = victim.gradient(x, clean, _apart)
            step = self.pgd.length * balls.steepest("linf", gradient)
            x = balls.inside("linf", self.pgd.order, images, self.pgd.eps, x + step.astype(np.float32))
        return x


def _apart(logits: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Direction of d KL(clean || softmax(logits)) / d logits, scaled by each image's largest magnitude."""
    found = probabilities(logits) - clean
    return found / np.maximum(np.abs(found).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class _TradesChunk(Chunk):
    """One step of 2 B images, clean ones and then attacked ones."""

    learnt: np.ndarray
    """The targets of the B images: [1, B, classes]."""
    beta: float

    def measured(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The TRADES loss, and whether the attacked image is right, as where only those are learnt."""
        clean, attacked = np.split(logits, 2, axis=1)
        apart = _divergence(clean, attacked)
        return cross_entropy(clean, self.learnt) + self.beta * apart, correct(attacked, self.learnt)


def _trades(victim: Victim, chunk: Chunk, attacked: np.ndarray, beta: float) -> Chunk:
    """The step of TRADES as a step of cross-entropy, which every backend can take.

    Its loss is cross-entropy(z, y) + beta KL(p || q), p = softmax(z), and q that of the attacked images.

    Cross-entropy on targets t that sum to 1 has the derivative p - t by the logits.  The derivatives that
    are wanted sum to 0, so there is such a t for each, with numbers below 0 in it:
    p - y + beta p (log p/q - KL) of a clean image, and beta (q - p) of an attacked one.  Twice that, as the
    backend's mean is over twice as many images.
    """
    clean = chunk.images[0]
    z, other = victim.logits(clean), victim.logits(attacked)
    p, q, y = probabilities(z), probabilities(other), chunk.targets[0]
    ratio = _log_probabilities(z) - _log_probabilities(other) - _divergence(z, other)[:, np.newaxis]
    targets = p - 2 * (p - y + beta * p * ratio), q - 2 * beta * (q - p)
    both = victim.affine.of_unit(np.concatenate([clean, attacked]), victim.dtype)
    return _TradesChunk(
        chunk.first_step,
        both[np.newaxis],
        np.concatenate(targets).astype(victim.dtype)[np.newaxis],
        chunk.masks,
        chunk.scales,
        chunk.weight_noise,
        chunk.targets,
        beta,
    )


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    z = logits.astype(np.float64)
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def _divergence(logits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """KL(softmax(logits) || softmax(others)) in nats: float64 [...]."""
    log_p, log_q = _log_probabilities(logits), _log_probabilities(others)
    return (np.exp(log_p) * (log_p - log_q)).sum(axis=-1)
