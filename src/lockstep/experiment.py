"""The settings of one experiment, fully explicit, and the spec that follows from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from lockstep.data.augmentation import Augmentation
from lockstep.data.dataset import Preprocessing
from lockstep.data.sources import Setting, find
from lockstep.errors import LockstepError
from lockstep.optimizer import Adam
from lockstep.settings import Count, Settings
from lockstep.spec import (
    Activation,
    AvgPool,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Function,
    Layer,
    MaxPool,
    Padding,
    Spec,
)


class Data(Settings):
    """What is learnt."""

    source: Setting = "mnist-5k"
    preprocessing: Preprocessing = "centred"
    train_size: Count | None = Field(default=None, description="use fewer training images: nested subsets")
    split_seed: int = Field(default=0, ge=0, lt=2**63)


class ConvolutionHere(Settings):
    """conv2d; without a padding it takes the model's."""

    kind: Literal["conv2d"]
    filters: Count
    kernel: Count
    stride: Count = 1
    padding: Padding | None = None


class ActivationHere(Settings):
    """activation; without a function it takes the model's function and slope."""

    kind: Literal["activation"]
    function: Function | None = None
    slope: float | None = None

    @model_validator(mode="after")
    def _slope_of_a_function(self) -> ActivationHere:
        if self.slope is not None and self.function is None:
            raise ValueError("slope has no effect without a function, as the model's has the model's slope")
        return self


class DropoutHere(Settings):
    """dropout; without a rate it takes the model's, and rate 0 leaves the layer out."""

    kind: Literal["dropout"]
    rate: float | None = Field(default=None, ge=0, lt=1)


LayerHere = Annotated[
    ConvolutionHere | MaxPool | AvgPool | Flatten | Dense | ActivationHere | DropoutHere,
    Field(discriminator="kind"),
]


LEFT_OPEN = {
    "activation": ("activation", "function"),
    "slope": ("activation", "function"),
    "padding": ("conv2d", "padding"),
    "dropout": ("dropout", "rate"),
}
"""{key of the model: (kind of layer, its own key)} that takes the model's where it has none."""


class Model(Settings):
    """A list of layers, and what the layers that leave it open are filled with."""

    activation: Function = "relu"
    slope: float | None = Field(default=None, description="of leaky_relu, and only of leaky_relu")
    padding: Padding = "valid"
    dropout: float = Field(default=0, ge=0, lt=1)
    layers: tuple[LayerHere, ...] = Field(min_length=1)

    def leaves_open(self, kind: str, own: str) -> bool:
        """Whether a layer of this kind takes the model's key in place of its own."""
        return any(layer.kind == kind and getattr(layer, own) is None for layer in self.layers)

    def spec(self, input_shape: tuple[int, ...]) -> Spec:
        """Every choice made explicit."""
        layers: list[Layer] = []
        for layer in self.layers:
            match layer:
                case ConvolutionHere():
                    padding = layer.padding or self.padding
                    layers.append(Conv2D(**layer.model_dump(exclude={"padding"}), padding=padding))
                case ActivationHere(function=None):
                    layers.append(_activation(self.activation, self.slope))
                case ActivationHere():
                    layers.append(_activation(layer.function or self.activation, layer.slope))
                case DropoutHere(rate=rate):
                    rate = self.dropout if rate is None else rate
                    layers += [Dropout(rate=rate)] if rate else []
                case _:
                    layers.append(layer)
        return Spec(input_shape=input_shape, layers=tuple(layers))


def _activation(function: Function, slope: float | None) -> Activation:
    try:
        return Activation(function=function, slope=slope)
    except ValidationError:
        raise LockstepError(
            f"activation {function} with slope {slope}: leaky_relu needs a slope, other functions take none"
        ) from None


def _is_default(section: Settings, key: str) -> bool:
    return bool(getattr(section, key) == type(section).model_fields[key].default)


class Adversarial(Settings):
    """Training on attacked images: instead of the clean ones, or beside them (TRADES)."""

    attack: Literal["fgsm", "pgd"]
    eps: float = Field(gt=0, le=1, description="of pixels in [0, 1]")
    steps: Count = Field(default=10, description="of pgd")
    step: Annotated[float, Field(gt=0)] | Literal["madry"] | None = Field(
        default=None,
        description="of pgd, in units of eps; default: 2.5 / steps; madry: 0.01 / 0.3, as they train",
    )
    trades: float | None = Field(
        default=None,
        gt=0,
        description="of pgd: learn the clean images, and, with this weight, that attacked ones look alike",
    )


class Regularisation(Settings):
    """What makes training harder so that the network generalises; dropout is a layer of the model."""

    label_smoothing: float = Field(
        default=0, ge=0, lt=1, description="share of each target that is spread over all classes"
    )
    image_noise: float = Field(
        default=0, ge=0, description="deviation of normal noise on pixels in [0, 1], clipped there"
    )
    weight_noise: float = Field(
        default=0, ge=0, description="deviation of normal noise on kernels, in those of their initial weights"
    )
    adversarial: Adversarial | None = Field(
        default=None, description="attack the images of each step before it is taken"
    )


class Training(Settings):
    """How it is learnt."""

    epochs: Count
    batch_size: Count = 64
    dtype: Literal["float32", "float64"] = "float32"
    threads: Count = Field(default=1, description="CPU threads of one training process")
    deterministic: bool = True


class Experiment(Settings):
    data: Data = Data()
    model: Model
    augmentation: Augmentation | None = Field(
        default=None, description="{} for the classroom's: shifts and zoom 0.2, 30 degrees"
    )
    regularisation: Regularisation = Regularisation()
    optimizer: Adam = Adam()
    training: Training

    @property
    def spec(self) -> Spec:
        """Raises LockstepError where shapes do not fit the data."""
        source = find(self.data.source)
        spec, classes = self.model.spec(source.shape), len(source.classes)
        if spec.output_shape != (classes,):
            raise LockstepError(
                f"the last layer gives {'x'.join(map(str, spec.output_shape))}, but {source.name} "
                f"has {classes} classes; end with a dense layer of {classes} units"
            )
        return spec

    def check(self) -> None:
        """Raise LockstepError, with the key, where settings do not fit each other."""
        source = find(self.data.source)
        try:
            available = source.train
        except LockstepError as error:
            raise LockstepError(f"data.source: {error}") from None
        if self.train_size > available:
            raise LockstepError(
                f"data.train_size: {source.name} has {available} training images, not {self.train_size}"
            )
        try:
            spec = self.spec
        except LockstepError as error:
            raise LockstepError(f"model: {error}") from None
        chosen = self.regularisation
        if chosen.adversarial and chosen.adversarial.trades and (spec.dropouts or chosen.weight_noise):
            raise LockstepError(
                "regularisation.adversarial.trades: not with dropout or weight_noise, as its loss compares "
                "two answers of one and the same network; leave out the one or the other"
            )

    def without_effect(self) -> dict[tuple[str, ...], str]:
        """{each key that another decides about: why what it says changes nothing; empty where it does}."""
        decided: list[tuple[tuple[str, ...], Settings, bool, str]] = []
        for key, (kind, own) in LEFT_OPEN.items():
            used = self.model.leaves_open(kind, own)
            decided.append((("model", key), self.model, used, f"no {kind} layer leaves its {own} open"))
        if chosen := self.augmentation:
            place = "augmentation", "fill_value"
            decided.append((place, chosen, chosen.fill == "constant", "it is of fill: constant"))
        if attacked := self.regularisation.adversarial:
            by_pgd = attacked.attack == "pgd"
            for key in ("steps", "step", "trades"):
                of_attack = "regularisation", "adversarial", key
                decided.append((of_attack, attacked, by_pgd, "it is of attack: pgd"))
        return {
            key: "" if used or _is_default(section, key[-1]) else why for key, section, used, why in decided
        }

    @property
    def settings(self) -> dict[str, Any]:
        """What this experiment is, in plain JSON: however it was written, equal settings are equal runs."""
        whole = self.model_dump(mode="json", exclude={"model"})
        return {"spec": self.spec.model_dump(mode="json"), **whole}

    @property
    def train_size(self) -> int:
        return self.data.train_size or find(self.data.source).train
