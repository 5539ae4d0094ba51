"""The spec as a table: what each layer gives, sees and costs."""

from __future__ import annotations

from rich.table import Table

from lockstep.spec import Conv2D, Node, Spec

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
    height = "x".join(map(str, spec.input_shape))
    table = Table(
        title=f"{name}: input {height}", caption=totals(spec), title_justify="left", caption_justify="left"
    )
    for column in COLUMNS:
        table.add_column(column, justify="right" if column == "MFLOP" else "left", overflow="fold")
    for row in rows(spec):
        table.add_row(*row)
    return table


def _settings(node: Node) -> str:
    settings = node.layer.model_dump(exclude={"kind"}, exclude_none=True)
    if isinstance(node.layer, Conv2D):
        k = node.layer.kernel
        return f"{k}x{k}x{node.layer.filters}, stride {node.layer.stride}, {node.layer.padding}"
    return ", ".join(f"{key} {value}" for key, value in settings.items())
