"""Adam's step scalars against the paper's algorithm, written out."""

from __future__ import annotations

import numpy as np
import pytest

from lockstep.optimizer import Adam


@pytest.mark.parametrize("form", ["keras", "paper"])
def test_scales_give_the_published_step(form):
    adam = Adam(learning_rate=0.01, eps=1e-3, form=form)
    rng = np.random.default_rng(0)
    p, m, v = rng.normal(size=3), np.zeros(3), np.zeros(3)
    q = p.copy()
    for t, (s1, s2) in enumerate(adam.scales(1, 50), start=1):
        g = rng.normal(size=3)
        m = adam.b1 * m + (1 - adam.b1) * g
        v = adam.b2 * v + (1 - adam.b2) * g**2
        p = p - s1 * m / (np.sqrt(v) * s2 + adam.eps)
        correction1, correction2 = 1 - adam.b1**t, 1 - adam.b2**t
        if form == "paper":  # Kingma & Ba, algorithm 1
            q = q - adam.learning_rate * (m / correction1) / (np.sqrt(v / correction2) + adam.eps)
        else:  # its section 2, the more efficient order
            q = q - adam.learning_rate * np.sqrt(correction2) / correction1 * m / (np.sqrt(v) + adam.eps)
        assert p == pytest.approx(q, rel=1e-13)


def test_scales_of_a_later_chunk_are_those_of_the_whole():
    whole = Adam().scales(1, 100)
    assert np.array_equal(Adam().scales(41, 10), whole[40:50])
