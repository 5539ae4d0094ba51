"""The spec as a table: what each layer gives, sees and costs."""

from __future__ import annotations

from rich import box
from rich.table import Table

from lockstep.spec import Activation, AvgPool, Conv2D, Dropout, MaxPool, Node, Spec

COLUMNS = ("layer", "settings", "output", "stride", "sees", "parameters", "MFLOP")


def rows(spec: Spec) -> list[tuple[str, ...]]:
    """One row of text per layer, in the order of `COLUMNS`."""
    return [
        (
            node.name,
            _settings(node),
            "x".join(map(str, node.output_shape)),
            str(node.stride or "all"),
            f"{node.receptive_field}x{node.receptive_field}" if node.receptive_field else "all",
            f"{node.formula} = {node.parameters:,}" if node.parameters else "",
            f"{node.flops / 1e6:.2f}" if node.flops else "",
        )
        for node in spec.nodes
    ]


def totals(spec: Spec) -> str:
    return (
        f"{spec.parameters:,} trainable parameters, "
        f"{spec.parameters * 4 / 2**20:.2f} MB in float32; "
        f"{spec.flops / 1e6:.2f} MFLOP an image forward, about {3 * spec.flops / 1e6:.1f} in training"
    )


def layer_table(name: str, spec: Spec) -> Table:
    size = "x".join(map(str, spec.input_shape))
    table = Table(
        title=f"{name}: input {size}",
        title_justify="left",
        caption=totals(spec),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for column in COLUMNS:
        numeric = column in ("stride", "sees", "parameters", "MFLOP")
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows(spec):
        table.add_row(*row)
    return table


def _settings(node: Node) -> str:
    match node.layer:
        case Conv2D(filters=filters, kernel=k, stride=stride, padding=padding):
            return f"{k}x{k}x{filters} {padding}" + (f", stride {stride}" if stride > 1 else "")
        case MaxPool(size=size) | AvgPool(size=size):
            return f"{size}x{size}"
        case Activation():
            return node.layer.label
        case Dropout(rate=rate):
            return f"rate {rate}"
    return ""
