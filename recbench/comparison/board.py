"""A comparison in TensorBoard: its tables as text and its plots as figures, as one run of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recbench.comparison.analysis import warnings
from recbench.comparison.plots import drawn, plots
from recbench.comparison.render import render
from recbench.comparison.rows import Row
from recbench.errors import StorageError
from recbench.text import markdown_cell

FOLDER = "comparison"


def write_board(folder: Path, rows: Sequence[Row]) -> Path:
    """Write the events into ``folder/comparison``, in the place of those of an earlier comparison, and return it.

    Raises:
        StorageError: They cannot be written.
    """
    # It takes a second to import, which only those who ask for it should pay.
    from torch.utils.tensorboard import SummaryWriter

    target = folder / FOLDER
    try:
        earlier = list(target.glob("events.out.tfevents.*"))
        with SummaryWriter(str(target)) as writer:
            warned = [f"> {markdown_cell(sentence)}" for sentence in warnings(rows)]
            writer.add_text("comparison", "\n\n".join([*warned, render(rows, "markdown", groups=True)]))
            for number, plot in enumerate(plots(rows), 1):
                writer.add_figure(f"comparison/{number} {plot.title}", drawn(plot), close=False)
        for path in earlier:
            path.unlink()
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror}).") from error
    return target
