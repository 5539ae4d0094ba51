"""PGD-40 on one PyTorch network: ours against foolbox and ART, in turn.

    pip install -e '.[oracle]'
    python benchmarks/attacks.py [--rounds 5] [--images 200] [--threads 1]

All attack the same digits with the same settings (linf, eps 0.3, 40 steps of 0.01, no random start) on the
same layers and weights.  foolbox and ART differentiate the module as PyTorch does; we ask the backend for
its `vjp`, which knows that only the images are asked about.  Unless a module's weights are frozen, each
step computes their gradients too, which nobody reads.  Both are measured.  The figures are ratios of times
within a round.
"""

from __future__ import annotations

import argparse
import statistics
import time

from lockstep import process

EPS, STEPS = 0.3, 40


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    process.prepare()
    process.hide_gpus()
    import foolbox
    import numpy as np
    import torch
    from art.attacks.evasion.projected_gradient_descent.projected_gradient_descent_numpy import (
        ProjectedGradientDescentNumpy,
    )
    from art.estimators.classification import PyTorchClassifier

    from lockstep.attacks.gradient import PGD
    from lockstep.attacks.victim import Victim
    from lockstep.conformance.specs import SPECS
    from lockstep.data.dataset import Affine
    from lockstep.data.draws import initial_weights
    from lockstep.data.mnist import read_mnist_5k
    from lockstep.discovery import find, load
    from lockstep.optimizer import Adam

    count, spec = arguments.images, SPECS["classroom"]
    bytes_, labels = read_mnist_5k()
    every = len(labels) // count
    images = (bytes_[::every][:count] / 255).astype(np.float32)
    truth = labels[::every][:count].astype(int)
    plugin = find("torch")
    settings = {"device": "cpu", "dtype": "float32", "threads": arguments.threads, "deterministic": True}
    backend = load(plugin)(spec, Adam(), **settings, **plugin.options)
    backend.load(initial_weights(spec, 0, "float32"))
    scale, shift = 3.2, -0.42

    class Network(torch.nn.Module):
        def __init__(self, frozen: bool) -> None:
            super().__init__()
            pairs = [(name.replace("/", "_"), weight) for name, weight in backend.weights.items()]
            self.kept = torch.nn.ParameterDict(
                {name: torch.nn.Parameter(weight, not frozen) for name, weight in pairs}
            )

        def forward(self, x):  # type: ignore[no-untyped-def]
            weights = {name: self.kept[name.replace("/", "_")] for name in backend.weights}
            return backend._forward((x * scale + shift).movedim(-1, 1), weights, None)

    victim = Victim(backend, Affine(np.array(scale), np.array(shift)), "float32", batch=count)
    attack = PGD(EPS, steps=STEPS, random_start=False)
    chosen = foolbox.criteria.Misclassification(torch.from_numpy(truth))

    def by_foolbox(frozen: bool):  # type: ignore[no-untyped-def]
        model = foolbox.PyTorchModel(Network(frozen).eval(), bounds=(0, 1), device="cpu")
        theirs = foolbox.attacks.LinfProjectedGradientDescentAttack(steps=STEPS, random_start=False)
        return lambda: theirs.run(model, torch.from_numpy(images), chosen, epsilon=EPS)

    def by_art(frozen: bool):  # type: ignore[no-untyped-def]
        loss, box = torch.nn.CrossEntropyLoss(), (0, 1)
        module = Network(frozen).eval()
        model = PyTorchClassifier(module, loss, (28, 28, 1), 10, clip_values=box, device_type="cpu")
        theirs = ProjectedGradientDescentNumpy(
            model, eps=EPS, eps_step=EPS / 30, max_iter=STEPS, batch_size=count, verbose=False
        )
        return lambda: theirs.generate(images, truth)

    runs = {
        "lockstep": lambda: attack(victim, images, truth),
        "foolbox": by_foolbox(frozen=False),
        "foolbox, frozen": by_foolbox(frozen=True),
        "ART": by_art(frozen=False),
        "ART, frozen": by_art(frozen=True),
    }

    def seconds(run) -> float:  # type: ignore[no-untyped-def]
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    victim.logits(images)  # the first call prepares kernels
    rounds = [{name: seconds(run) for name, run in runs.items()} for _ in range(arguments.rounds)]
    for name in list(runs)[1:]:
        ratios = sorted(times[name] / times["lockstep"] for times in rounds)
        print(
            f"{name:15} / lockstep: median {statistics.median(ratios):.2f} "
            f"(min {ratios[0]:.2f}, max {ratios[-1]:.2f}, {len(rounds)} rounds, {count} images)"
        )
    own = statistics.median(times["lockstep"] for times in rounds)
    print(f"lockstep: median {own:.1f} s on this machine", flush=True)


if __name__ == "__main__":
    main()
