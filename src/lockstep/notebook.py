"""Finished runs in Python, for notebooks: `lockstep.open` and `lockstep.train`; docs/python.md lists it all.

An opened run computes in this process, and one process holds one framework: a second one is refused, and
NumPy, which is none, can run any cell's weights.  Training is left to a process of its own, so its results
are those of the command line and of Snakemake, whatever this one has imported or set.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import NamedTuple, TypeVar
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from lockstep import cell as cells
from lockstep import child, given, gpu, layer_table, process
from lockstep import config as configs
from lockstep.attacks.named import named, remark
from lockstep.attacks.scores import accuracy
from lockstep.attacks.suite import digits
from lockstep.attacks.victim import Victim
from lockstep.backend import Backend
from lockstep.data.augmentation import augment
from lockstep.data.dataset import Dataset
from lockstep.data.draws import augmentation
from lockstep.discovery import REFERENCE, find
from lockstep.errors import LockstepError
from lockstep.evaluation import BATCH, probabilities
from lockstep.experiment import Experiment
from lockstep.identity import cell_hash
from lockstep.results import read_npz
from lockstep.spec import Spec
from lockstep.trained import Trained, read

T = TypeVar("T")

# IPython shows this instead of a traceback: a mistake that a person can mend is one line here too.
setattr(LockstepError, "_render_traceback_", lambda error: [f"LockstepError: {error}"])  # noqa: B010

_held: str | None = None
"""The framework that this process holds."""
_until_the_end = ExitStack()
"""Of this process: what is entered here is never left, as no framework gives back its GPU."""


def open(cell: str | Path, backend: str | None = None) -> Run:
    """A finished run.

    cell: its folder, such as results/default/cells/baseline/torch/cpu/seed-0; backend: what computes, if not
    the one that trained it, on the CPU ("numpy" runs where no framework is installed).
    Raises LockstepError where the folder holds no completed run, or for an unknown backend.
    """
    trained = read(given.path("open: cell", cell))
    if backend is None or find(given.text("open: backend", backend)).name == trained.cell.backend:
        return Run(trained)
    return Run(replace(trained, cell=replace(trained.cell, backend=backend, device="cpu")))


def train(config: str | Path, experiment: str, backend: str, seed: int = 0, device: str = "cpu") -> Run:
    """Train a run of a config's experiment and open it; if it is there and up to date, only open it.

    Up to date: made by these settings, data, code and versions.  Prints each epoch over the one before.
    After an interruption the same call goes on from the last checkpoint.  Folders that a config names are
    relative to the current one.
    Raises LockstepError where the config, a name or the seed is wrong, or the run fails or diverges.
    """
    path = given.path("train: config", config)
    settings = configs.load(path)
    cell = settings.cell(
        given.text("train: experiment", experiment),
        given.text("train: backend", backend),
        given.text("train: device", device),
        given.whole("train: seed", seed, 0, given.SEEDS),
    )
    if cells.made_by(settings, cell) != cell_hash(cell):
        child.train(path, cell)
    return open(settings.folder(cell))


class Weights(NamedTuple):
    """Of one layer, in the run's dtype."""

    kernel: np.ndarray
    """[height, width, channels in, filters] of a convolution, [units in, units out] of a dense layer."""
    bias: np.ndarray
    """[filters] or [units out]."""


@dataclass(frozen=True, eq=False)
class Unseen:
    """The test images, and what the network said of them when it had been trained."""

    images: np.ndarray = field(repr=False)
    """float32 [n, H, W, C], pixels in [0, 1]."""
    labels: np.ndarray = field(repr=False)
    """int64 [n]."""
    logits: np.ndarray = field(repr=False)
    """[n, classes], in the run's dtype."""


@dataclass(frozen=True, eq=False)
class Attacked:
    """Images before and after an attack; accuracies are shares in [0, 1]."""

    attack: str
    eps: float
    clean_accuracy: float
    accuracy: float
    clean: np.ndarray = field(repr=False)
    """float32 [n, H, W, C], pixels in [0, 1]."""
    images: np.ndarray = field(repr=False)
    """The same after the attack."""
    labels: np.ndarray = field(repr=False)
    """int64 [n]: the true classes."""


class Run:
    """A finished run.  Its framework is imported when it first computes, its data are read when first needed.

    Images that its methods take are pixels, uint8 or floats in [0, 1]: [n, H, W, C], or [n, H, W] if there is
    one channel, or a single image.  Preprocessing is applied here.  Anything else raises LockstepError.
    """

    def __init__(self, trained: Trained) -> None:
        self._trained = trained
        self._victims: dict[str | None, Victim] = {}

    @property
    def folder(self) -> Path:
        return self._trained.folder

    @property
    def experiment(self) -> Experiment:
        """Its settings: data, model, augmentation, regularisation, optimizer, training."""
        return self._trained.cell.experiment

    @cached_property
    def spec(self) -> Spec:
        """Its layers with shapes, parameters and FLOPs: `spec.nodes`, `spec.parameters`."""
        return self.experiment.spec

    @property
    def layers(self) -> pd.DataFrame:
        """A row of text for each layer: settings, shape of its output, stride and receptive field in pixels
        of the image, parameters with their formula, MFLOP of one image's forward pass."""
        table = pd.DataFrame(layer_table.rows(self.spec), columns=list(layer_table.COLUMNS))
        return table.set_index("layer")

    @property
    def history(self) -> pd.DataFrame:
        """A row for each epoch: train_loss and train_accuracy (means over the batches as trained: weights
        move, dropout is on), validation_loss and validation_accuracy (at its end).  Losses are in nats."""
        return self._file("history.csv", lambda path: pd.read_csv(path).set_index("epoch"))

    @property
    def metrics(self) -> pd.DataFrame:
        """All that was measured after training: split, metric, condition, value, n (images)."""
        read = self._file("metrics.json", lambda path: json.loads(path.read_text())["measurements"])
        return pd.DataFrame(read)

    @cached_property
    def data(self) -> Dataset:
        """`.train`, `.validation` and `.test`: `.images[rows]` is uint8 [k, H, W, C], `.labels` is [n]."""
        return self._trained.dataset()

    @cached_property
    def test(self) -> Unseen:
        """Test images and labels, with the logits that were stored after training."""
        images, labels = digits(self.data.test, len(self.data.test))
        return Unseen(images, labels, self._predictions["logits"])

    @property
    def confusion(self) -> pd.DataFrame:
        """Counts of test images: a row for each label, a column for each predicted class."""
        from sklearn.metrics import confusion_matrix  # takes a second; most runs are not asked for it

        labels, predicted = self._predictions["labels"], self._predictions["logits"].argmax(axis=1)
        classes = range(self.spec.output_shape[-1])
        table = confusion_matrix(labels, predicted, labels=classes)
        return pd.DataFrame(table, pd.Index(classes, name="label"), pd.Index(classes, name="predicted"))

    def weights(self, name: str) -> Weights | np.ndarray:
        """Of the last epoch, copied: `weights("conv1")` is (kernel, bias), `weights("conv1/bias")` an array.

        Raises LockstepError for a name that is not there.
        """
        found, name = self._trained.weights, given.text("weights: name", name)
        if name in found:
            return found[name].copy()
        if f"{name}/kernel" in found:
            return Weights(found[f"{name}/kernel"].copy(), found[f"{name}/bias"].copy())
        layers = dict.fromkeys(weight.partition("/")[0] for weight in found)
        raise LockstepError(f"no weights {name!r}; {self.folder} has: {', '.join([*layers, *found])}")

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities, the softmax of the logits: float64 [n, classes]."""
        return probabilities(self.features(images))

    def features(self, images: np.ndarray, layer: str | None = None) -> np.ndarray:
        """The output of a layer, dropout off, in the run's dtype: [n, *its shape]; by default the logits.

        Raises LockstepError for a layer that is not there.
        """
        pixels = given.pixels(images, self.spec.input_shape)
        until = None if layer is None else given.text("features: layer", layer)
        return self._victim(len(pixels), until).logits(pixels)

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Share of images whose most probable class is the label's: labels integers [n]."""
        pixels = given.pixels(images, self.spec.input_shape)
        return accuracy(self._victim(len(pixels)), pixels, self._classes(labels, len(pixels)))

    def attack(
        self,
        name: str,
        eps: float,
        images: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        n: int = 100,
        seed: int = 0,
        **options: object,
    ) -> Attacked:
        """Images changed so that this network gets them wrong, and how often it still gets them right.

        name: fgsm, bim, pgd, pgd_margin, mifgsm, universal, apgd, apgd_dlr, apgd_targeted, fab, square,
        autoattack or autoattack_fast, or noise to compare them with: uniform_noise, gaussian_noise,
        salt_and_pepper; with _l2 pgd, uniform_noise and all from apgd on; docs/attacks.md explains them.
        eps: how far a pixel in [0, 1] may move (of l2: how long the whole change may be).
        images, labels: what is attacked, and its true classes; by default n test images all over the set.
        seed: of random starts and noise.
        options: what the attack has, such as steps, step (in units of eps, or "madry") and restarts of pgd.
        Raises LockstepError for an unknown name or option, or a value that an attack refuses; warns where
        there are too few classes for its loss.
        """
        eps, seed = given.number("attack: eps", eps), given.whole("attack: seed", seed, 0, given.SEEDS)
        n = given.whole("attack: n", n, 1)
        attack = named(given.text("attack: name", name), eps, **options)
        if said := remark(attack, self.spec.output_shape[-1]):
            warnings.warn(f"{name}: {said}", stacklevel=2)
        if (images is None) != (labels is None):
            raise LockstepError("attack: found images or labels alone, expected both or neither")
        if images is None or labels is None:
            images, labels = digits(self.data.test, n)
        clean = given.pixels(images, self.spec.input_shape).astype(np.float32)
        truth, victim = self._classes(labels, len(clean)), self._victim(len(clean))
        found = attack(victim, clean, truth, seed)
        scores = accuracy(victim, clean, truth), accuracy(victim, found, truth)
        return Attacked(name, eps, *scores, clean=clean, images=found, labels=truth)

    def augmented(self, images: np.ndarray, seed: int = 0) -> np.ndarray:
        """Images as this run's augmentation may have shown them in training: float32 [n, H, W, C] in [0, 1].

        Another seed draws other shifts, zooms and rotations.
        Raises LockstepError where the run was trained without augmentation.
        """
        settings = self.experiment.augmentation
        if settings is None:
            raise LockstepError(f"{self.folder}: trained without augmentation; open a run that has it")
        seed = given.whole("augmented: seed", seed, 0, given.SEEDS)
        pixels = 255 * given.pixels(images, self.spec.input_shape)
        return augment(settings, pixels, augmentation(seed, 0, len(pixels))) / np.float32(255)

    def __repr__(self) -> str:
        return f"<{self._summary}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._summary)}</p>{self.layers.to_html()}"

    @property
    def _summary(self) -> str:
        right = self._predictions["logits"].argmax(axis=1) == self._predictions["labels"]
        return (
            f"{self._trained.cell}: {100 * right.mean():.2f} % of {len(right):,} test images right after "
            f"{self.experiment.training.epochs} epochs on {self.experiment.train_size:,} images"
        )

    def _classes(self, labels: np.ndarray, images: int) -> np.ndarray:
        return given.classes(labels, images, self.spec.output_shape[-1])

    def _victim(self, count: int, until: str | None = None) -> Victim:
        """The network, or its layers up to one, for so many images at a time."""
        if until not in self._victims:
            network, dtype = _network(self._trained, until), self.experiment.training.dtype
            self._victims[until] = Victim(network, self.data.transform, dtype)
        return replace(self._victims[until], batch=min(count, BATCH))

    @cached_property
    def _predictions(self) -> dict[str, np.ndarray]:
        return self._file("predictions.npz", read_npz)

    def _file(self, name: str, read: Callable[[Path], T]) -> T:
        try:
            return read(self.folder / name)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            raise LockstepError(f"{self.folder / name}: missing or damaged; train the cell again") from None


def _network(trained: Trained, until: str | None) -> Backend:
    """Raises LockstepError where this process holds another framework: threads and devices are set for all of
    it, and some frameworks take a whole GPU."""
    global _held
    name = trained.cell.backend
    if name != REFERENCE and _held not in (None, name):
        raise LockstepError(
            f"this process runs {_held} and cannot run {name} too: restart the kernel, or open with "
            f'lockstep.open(folder, backend="{REFERENCE}"), which computes the same up to rounding'
        )
    if trained.cell.device == "gpu":
        process.share_gpu()  # with the training runs that this process starts
    _until_the_end.enter_context(gpu.held(trained.cell.device))
    network = trained.backend(until)
    if name != REFERENCE:
        _held = name
    return network
