"""T0 and T4: whether a backend repeats itself, waits at the fence, and stays close on a smooth network."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from lockstep.conformance import digits
from lockstep.conformance.certificate import Check
from lockstep.conformance.distance import distance
from lockstep.conformance.reference import NUMPY, smooth_losses
from lockstep.conformance.step_zero import LIMITS, WIDEST
from lockstep.conformance.subject import Subject
from lockstep.conformance.worker import Worker

STEPS = 20
LEFT = 0.1
"""Share of the work that may be left when `synchronize` returns; one that waits leaves next to nothing."""
SMOOTH_STEPS, SMOOTH_LIMIT, SMOOTH_PIECES = 100, 2e-6, 4
ASKED = 100
"""Test images that are shown after training; their logits have the limit of T3."""


def repeatable(subject: Subject) -> list[Check]:
    """T0: float32, the classroom's network with dropout."""
    subject.advance("the same bits in three processes")
    run = digits.experiment("real", "float32")
    others = [subject.fresh("float32", threads) for threads in (2, 1)]

    def bits(worker: Worker) -> str:
        return worker.call(digits.bits, subject.data, run, STEPS)

    try:
        with ThreadPoolExecutor() as pool:  # starting a framework takes longer than the steps
            first, second, single = pool.map(bits, [subject.worker("float32"), *others])
    finally:
        for worker in others:
            worker.close()
    return [
        Check(
            tier="T0",
            quantity=f"two processes, {STEPS} steps",
            measured=None,
            verdict="in step" if first == second else "out of step",
            note=f"{'the same' if first == second else 'other'} bits, SHA-256 {first[:12]}",
        ),
        Check(
            tier="T0",
            quantity="1 against 2 threads",
            measured=None,
            verdict="reported",
            note=f"{'the same' if first == single else 'other'} bits",
        ),
    ]


def fence(subject: Subject) -> Check:
    """T0: what is left to do when `synchronize` returns, and when `train_steps` does."""
    subject.advance("the fence")
    found = subject.worker("float32").call(digits.waiting, subject.data, digits.experiment("real", "float32"))
    kind = "asynchronous" if found.after_call > LEFT else "at once"
    return Check(
        tier="T0",
        quantity="work left after synchronize",
        measured=max(found.after_synchronize, 0.0),
        limit=LEFT,
        verdict="in step" if found.after_synchronize <= LEFT else "out of step",
        note=f"{kind}: {100 * found.after_call:.0f} % is left when train_steps returns",
    )


def smooth(subject: Subject) -> list[Check]:
    """T4: the largest difference of a step's loss, in nats; then logits by the weights that training left."""
    run = digits.experiment("smooth", "float32")
    worker, state = subject.worker("float32"), digits.start(run)
    losses, images = [], []
    size = SMOOTH_STEPS // SMOOTH_PIECES
    for piece in range(SMOOTH_PIECES):
        subject.advance(f"smooth network: to step {size * (piece + 1)}")
        first, last = size * piece + 1, size * (piece + 1)
        asked = ASKED if piece == SMOOTH_PIECES - 1 else 0
        part = worker.call(digits.segment, subject.data, run, first, last, state, asked)
        losses.append(part.losses)
        images.append(part.images)
        state = part.state
    apart = np.abs(np.concatenate(losses) - smooth_losses(subject.data, SMOOTH_STEPS))
    far, limit = float(apart.max()), SMOOTH_LIMIT * subject.allowance
    finite = np.isfinite(far)
    where = f"smooth network in {subject.precision}" if finite else "NaN or infinite"
    training = Check(
        tier="T4",
        quantity=f"loss, nats, {SMOOTH_STEPS} steps",
        measured=far if finite else None,
        limit=limit,
        verdict="in step" if far <= limit else "out of step",
        note=where + begins(~(apart <= limit), np.concatenate(images)),
    )
    return [training, _asked(subject, part)] if finite else [training]


def _asked(subject: Subject, last: digits.Segment) -> Check:
    """A device without float64 has no T2, so this is what it is asked of the weights of its own training."""
    run = digits.experiment("smooth", "float64")
    right = NUMPY.call(digits.logits, subject.data, run, last.state, ASKED)
    far, limit = distance(last.logits, right), min(LIMITS["T3"] * subject.allowance, WIDEST)
    return Check(
        tier="T4",
        quantity="logits after training",
        measured=far if np.isfinite(far) else None,
        limit=limit,
        verdict="in step" if far <= limit else "out of step",
        note=f"{ASKED} test digits, against NumPy with the same weights",
    )


def begins(late: np.ndarray, images: np.ndarray) -> str:
    """At which step a run leaves the limit, and if a smaller batch came just before: bool, int [steps]."""
    if not late.any():
        return ""
    first = int(np.argmax(late))  # its loss is of the weights that the step before left
    after = first and images[first - 1] < images.max()
    return f"; from step {first + 1} on" + (f", after a batch of {images[first - 1]} images" if after else "")
