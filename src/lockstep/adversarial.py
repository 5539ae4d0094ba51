"""Training on attacked images: each step's images are attacked first, on the network as it stands.

Goodfellow et al. (2015), "Explaining and harnessing adversarial examples" (fgsm); Madry et al. (2018),
"Towards deep learning models resistant to adversarial attacks" (pgd).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from lockstep.attacks.attack import Attack
from lockstep.attacks.gradient import FGSM, PGD
from lockstep.attacks.victim import Victim
from lockstep.backend import Backend
from lockstep.data.batches import Chunk
from lockstep.data.dataset import Affine
from lockstep.experiment import Adversarial


def attack_of(settings: Adversarial) -> Attack:
    return FGSM(settings.eps) if settings.attack == "fgsm" else PGD(settings.eps, steps=settings.steps)


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
            yield replace(one, images=affine.of_unit(found, dtype)[np.newaxis])
