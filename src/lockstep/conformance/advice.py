"""The one thing that an author does next, read off a certificate."""

from __future__ import annotations

import inspect

from lockstep.backend import Backend
from lockstep.conformance.certificate import Certificate, Check, Diagnosis
from lockstep.conformance.reference import ALL
from lockstep.spec import Activation

GUIDE = "docs/plugins.md"
SECTIONS = {
    "backend": "Start",
    "__init__": "Build",
    "devices": "Build",
    "dtypes": "Build",
    "load": "Arrays in and out",
    "dump": "Arrays in and out",
    "logits": "Layers",
    "loss_and_gradients": "Gradients",
    "vjp": "Gradients",
    "train_steps": "Training",
    "synchronize": "Later and elsewhere",
    "environment": "Build",
}
"""{method: the section of the guide about it}."""
LINES_OF_T0 = {
    "two processes, 20 steps": (
        "the same call must give the same bits in every process: see what deterministic=True has to switch",
        "Build",
    ),
    "work left after synchronize": (
        "synchronize must return when all work is done, and not before",
        "Later and elsewhere",
    ),
}
"""{quantity: what it asks for, the section about it}."""


def next_step(certificate: Certificate) -> str:
    """What to write or to mend first, and where the guide speaks of it; "" where nothing falls short."""
    if certificate.diagnosis:
        return _mend(certificate.diagnosis)
    calls_first = sorted(certificate.checks, key=lambda check: check.limit is not None)
    for verdict in ("out of step", "not yet"):
        if late := next((check for check in calls_first if check.verdict == verdict), None):
            return _take_up(late)
    return ""


def _mend(found: Diagnosis) -> str:
    node = next((node for node in ALL[found.spec].nodes if node.name == found.layer), None)
    if node is None:
        section = SECTIONS.get(found.layer, "Training" if found.layer == "Adam" else "Gradients")
        weights = f", in {found.weights}" if found.weights and not found.cause else ""
        return f"mend {found.layer}: {found.quantity}{weights}{_because(found)}; {_see(section)}"
    layer = node.layer
    settings = layer.label if isinstance(layer, Activation) else _settings(layer.model_dump(exclude={"kind"}))
    what = f"{node.name} ({settings})" if settings else node.name
    section = "Layers" if found.quantity == "output" else "Gradients"
    return f"mend the {found.quantity} of {what}{_because(found)}; {_see(section)}"


def _because(found: Diagnosis) -> str:
    return f": {found.cause}" if found.cause else f", in spec {found.spec!r}"


def _settings(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _take_up(check: Check) -> str:
    call = check.quantity
    if call in LINES_OF_T0:
        rule, section = LINES_OF_T0[call]
        return f"{rule}; {_see(section)}"
    if call not in SECTIONS:
        return f"mend {call} ({check.tier}): {check.note}; {_see('The tiers')}"
    if check.note.startswith("not written yet"):
        return f"write {_contract(call).rstrip('.')}; {_see(SECTIONS[call])}"
    if call == "backend":
        absent = check.note.startswith("not installed")
        verb = "install what it needs" if absent else "mend it"
        return f"{verb}: {check.note}; {_see(SECTIONS[call])}"
    verb = "go on with" if check.verdict == "not yet" else "mend"
    expected = f", the contract calls {_signature(call)}" if f".{call}() " in check.note else ""
    return f"{verb} {call}: {check.note}{expected}; {_see(SECTIONS[call])}"


def _contract(method: str) -> str:
    """The signature, and all that the contract says of it."""
    return f"{_signature(method)}: {' '.join((inspect.getdoc(getattr(Backend, method)) or '').split())}"


def _signature(method: str) -> str:
    """ "logits(self, images, masks=None)" """
    signature = inspect.signature(getattr(Backend, method))
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return f"{method}{signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)}"


def _see(section: str) -> str:
    return f'see "{section}" in {GUIDE}'
