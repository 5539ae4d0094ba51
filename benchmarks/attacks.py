"""Ours against other people's attacks on one PyTorch network: PGD-40, and AutoAttack's whole set.

    make install  # or: pip install -e '.[oracle]' and, without its dependencies, torchattacks
    python benchmarks/attacks.py [--rounds 5] [--images 200] [--set-rounds 3] [--set-images 50] [--threads 1]
    python benchmarks/attacks.py --cell results/default/cells/adversarial_pgd/torch/cpu/seed-0 --eps 0.2

All attack the same digits with the same settings on the same layers and weights.  PGD: linf, eps 0.3, 40
steps of 0.01, no random start, beside foolbox and ART.  The set: linf, eps 0.1, APGD on cross-entropy,
targeted APGD and targeted FAB with 9 targets, 100 steps each, and 5,000 queries of Square, each on what still
stands, beside torchattacks; the network is trained on PGD before, as nothing would stand otherwise.  With
--cell (one or more, trained by torch) the set alone attacks those networks, on their test images.

They differentiate the module as PyTorch does; we ask the backend for its `vjp`, which knows that only the
images are asked about.  Unless a module's weights are frozen, each step computes their gradients too, which
nobody reads.  Both are measured.  The figures are ratios of times within a round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

from lockstep import process

EPS, STEPS = 0.3, 40
SET_EPS = 0.1
HARDENING, BATCH = 150, 64
"""Steps of adversarial training, and images in each."""
SCALE, SHIFT = 3.2, -0.42

Run = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--set-rounds", type=int, default=3)
    parser.add_argument("--set-images", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--cell", action="append", default=[], metavar="FOLDER")
    parser.add_argument("--eps", type=float, default=SET_EPS, help="of the set")
    arguments = parser.parse_args()
    process.prepare()
    process.hide_gpus()
    for folder in arguments.cell:
        compare_set(folder, *trained(folder, arguments.set_images), arguments.eps, arguments.set_rounds)
    if arguments.cell:
        return
    backend = network(arguments.threads)
    victim(backend, arguments.images).logits(digits(arguments.images)[0])  # the first call prepares kernels
    compare(pgd(backend, *digits(arguments.images)), arguments.rounds, f"PGD-40, {arguments.images} images")
    harden(backend)
    asked = victim(backend, max(arguments.set_images, 100))
    compare_set("hardened", asked, *digits(arguments.set_images), arguments.eps, arguments.set_rounds)


def compare_set(what: str, asked: Any, images: Any, labels: Any, eps: float, rounds: int) -> None:
    runs, left = full_set(asked, images, labels, eps)
    compare(runs, rounds, f"{what}: the set, {len(images)} images, eps {eps:g}")
    for name, share in left.items():
        print(f"{what}: {name}: {share:.1%} left by the set", flush=True)


def trained(folder: str, count: int) -> tuple[Any, Any, Any]:
    """A finished cell as a victim, and some of its test images with their classes."""
    from pathlib import Path

    from lockstep import trained
    from lockstep.attacks.suite import digits as chosen
    from lockstep.attacks.victim import Victim

    opened = trained.read(Path(folder))
    dataset = opened.dataset()
    asked = Victim(opened.backend(), dataset.transform, "float32", batch=max(count, 100))
    return asked, *chosen(dataset.test, count)


def network(threads: int) -> Any:
    """The classroom's, without dropout, which attacks have not either."""
    from lockstep.conformance.specs import SPECS
    from lockstep.data.draws import initial_weights
    from lockstep.discovery import find, load
    from lockstep.optimizer import Adam
    from lockstep.spec import Dropout, Spec

    spec = SPECS["classroom"]
    kept = tuple(layer for layer in spec.layers if not isinstance(layer, Dropout))
    spec = Spec(input_shape=spec.input_shape, layers=kept)
    plugin = find("torch")
    settings = {"device": "cpu", "dtype": "float32", "threads": threads, "deterministic": True}
    backend = load(plugin)(spec, Adam(), **settings, **plugin.options)
    backend.load(initial_weights(spec, 0, "float32"))
    return backend


def digits(count: int) -> tuple[Any, Any]:
    """From all over the set, float32 in [0, 1]; their classes."""
    import numpy as np

    from lockstep.data.mnist import read_mnist_5k

    pixels, labels = read_mnist_5k()
    every = len(labels) // count
    return (pixels[::every][:count] / 255).astype(np.float32), labels[::every][:count].astype(int)


def victim(backend: Any, batch: int) -> Any:
    import numpy as np

    from lockstep.attacks.victim import Victim
    from lockstep.data.dataset import Affine

    return Victim(backend, Affine(np.array(SCALE), np.array(SHIFT)), "float32", batch=batch)


def harden(backend: Any) -> None:
    """Train it for some steps on images that PGD has attacked on the way."""
    import numpy as np

    from lockstep.attacks.gradient import PGD
    from lockstep.data.draws import epoch_order
    from lockstep.optimizer import Adam

    images, labels = digits(5000)
    asked, adam = victim(backend, BATCH), Adam(learning_rate=1e-3)
    attack = PGD(SET_EPS, steps=4, keep="last")
    for step in range(HARDENING):
        rows = epoch_order(len(labels), 0, step)[:BATCH]
        attacked = asked.affine.of_unit(attack(asked, images[rows], labels[rows], step), "float32")
        targets = np.eye(10, dtype="float32")[labels[rows]]
        backend.train_steps(attacked[np.newaxis], targets[np.newaxis], {}, adam.scales(step + 1, 1))


def module(asked: Any, frozen: bool, channels_first: bool = False) -> Any:
    """The backend's layers and weights as a torch.nn.Module of pixels."""
    import torch

    backend = asked.backend
    scale, shift = (
        torch.from_numpy(each.astype("float32")) for each in (asked.affine.scale, asked.affine.shift)
    )

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            pairs = [(name.replace("/", "_"), weight.detach()) for name, weight in backend.weights.items()]
            self.kept = torch.nn.ParameterDict(
                {name: torch.nn.Parameter(weight, not frozen) for name, weight in pairs}
            )

        def forward(self, x):  # type: ignore[no-untyped-def]
            weights = {name: self.kept[name.replace("/", "_")] for name in backend.weights}
            x = (x.movedim(1, -1) if channels_first else x) * scale + shift
            return backend._forward(x.movedim(-1, 1), weights, None)

    return Network().eval()


def pgd(backend: Any, images: Any, labels: Any) -> dict[str, Run]:
    import foolbox
    import torch
    from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_numpy import (
        ProjectedGradientDescentNumpy,
    )
    from art.estimators.classification import PyTorchClassifier

    from lockstep.attacks.gradient import PGD

    asked, attack = victim(backend, len(images)), PGD(EPS, steps=STEPS, step="madry", random_start=False)
    chosen = foolbox.criteria.Misclassification(torch.from_numpy(labels))

    def by_foolbox(frozen: bool) -> Run:
        model = foolbox.PyTorchModel(module(asked, frozen), bounds=(0, 1), device="cpu")
        theirs = foolbox.attacks.LinfProjectedGradientDescentAttack(steps=STEPS, random_start=False)
        return lambda: theirs.run(model, torch.from_numpy(images), chosen, epsilon=EPS)

    def by_art(frozen: bool) -> Run:
        loss, box = torch.nn.CrossEntropyLoss(), (0, 1)
        model = PyTorchClassifier(
            module(asked, frozen), loss, (28, 28, 1), 10, clip_values=box, device_type="cpu"
        )
        theirs = ProjectedGradientDescentNumpy(
            model, eps=EPS, eps_step=EPS / 30, max_iter=STEPS, batch_size=len(images), verbose=False
        )
        return lambda: theirs.generate(images, labels)

    return {
        "lockstep": lambda: attack(asked, images, labels),
        "foolbox": by_foolbox(frozen=False),
        "foolbox, frozen": by_foolbox(frozen=True),
        "ART": by_art(frozen=False),
        "ART, frozen": by_art(frozen=True),
    }


def full_set(asked: Any, images: Any, labels: Any, eps: float) -> tuple[dict[str, Run], dict[str, float]]:
    """Runs, and the share of images that each has left when it has run."""
    import torch
    import torchattacks
    from torchattacks.wrappers.multiattack import MultiAttack

    from lockstep.attacks.autoattack import AutoAttack
    from lockstep.attacks.scores import accuracy

    attack, left = AutoAttack(eps), {}
    pixels, truth = torch.from_numpy(images).movedim(-1, 1).contiguous(), torch.from_numpy(labels)

    def ours() -> None:
        left["lockstep"] = accuracy(asked, attack(asked, images, labels), labels)

    def theirs(frozen: bool) -> Run:
        model, same = module(asked, frozen, channels_first=True), {"norm": "Linf", "eps": eps}
        parts = [
            torchattacks.APGD(model, steps=100, **same),
            torchattacks.APGDT(model, steps=100, **same),
            torchattacks.FAB(model, steps=100, multi_targeted=True, **same),
            torchattacks.Square(model, n_queries=5000, **same),
        ]
        whole = MultiAttack(parts)

        def run() -> None:
            with torch.no_grad():
                found = model(whole(pixels, truth)).argmax(dim=1)
            left["torchattacks"] = (found == truth).float().mean().item()

        return run

    runs = {
        "lockstep": ours,
        "torchattacks": theirs(frozen=False),
        "torchattacks, frozen": theirs(frozen=True),
    }
    return runs, left


def compare(runs: dict[str, Run], rounds: int, what: str) -> None:
    """Print how many times as long the others take, in the rounds in which all run in turn."""

    def seconds(run: Run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    found = [{name: seconds(run) for name, run in runs.items()} for _ in range(rounds)]
    for name in list(runs)[1:]:
        ratios = sorted(times[name] / times["lockstep"] for times in found)
        print(
            f"{what}: {name:20} / lockstep: median {statistics.median(ratios):.2f} "
            f"(min {ratios[0]:.2f}, max {ratios[-1]:.2f}, {rounds} rounds)"
        )
    own = statistics.median(times["lockstep"] for times in found)
    print(f"{what}: lockstep: median {own:.1f} s on this machine", flush=True)


if __name__ == "__main__":
    main()
