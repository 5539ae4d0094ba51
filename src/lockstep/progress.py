"""What a person sees of a training run: a bar on a terminal, a line per epoch in a log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lockstep import training
from lockstep.config import Cell
from lockstep.console import Console

WHAT = TextColumn("{task.description}", markup=False)


@contextmanager
def watching(cell: Cell) -> Iterator[training.Watcher]:
    console = Console(stderr=True)
    epochs = cell.experiment.training.epochs

    def line(progress: training.Progress) -> None:
        row = progress.history[-1]
        console.print(
            f"epoch {row.epoch}/{epochs}  train loss {row.train_loss:.4f} accuracy {row.train_accuracy:.4f}"
            f"  validation loss {row.validation_loss:.4f} accuracy {row.validation_accuracy:.4f}"
        )

    if not console.is_terminal:
        yield training.Watcher(epoch=line)
        return
    columns = WHAT, BarColumn(), MofNCompleteColumn(), TextColumn("images"), TimeRemainingColumn()
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(str(cell), total=epochs * cell.experiment.train_size)
        yield training.Watcher(images=lambda count: bar.advance(task, count), epoch=line)


@contextmanager
def decoding(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar that advances by files; no bar without a terminal."""
    console = Console(soft_wrap=False, stderr=True)
    columns = WHAT, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=total)
        yield lambda files: bar.advance(task, files)


@contextmanager
def counting(total: int) -> Iterator[Callable[[str], None]]:
    """A bar that advances before each piece of work and says what it is; no bar without a terminal."""
    console = Console(soft_wrap=False, stderr=True)
    columns = BarColumn(), MofNCompleteColumn(), WHAT
    # Drawn when it advances and not ten times a second: somebody's work may be timed meanwhile.
    hidden = not console.is_terminal
    with Progress(*columns, console=console, transient=True, auto_refresh=False, disable=hidden) as bar:
        task = bar.add_task("starting", total=total)
        yield lambda what: bar.update(task, advance=1, description=what, refresh=True)
