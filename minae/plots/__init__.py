"""Pictures of a training run and of its model: each function turns arrays into one PNG file.

Images are rows of grey values in [0, 1], drawn as ink on paper: 0 is white, 1 is black. A function
overwrites `path` only once the whole picture is written, and leaves nothing else in its folder.
Matplotlib is imported when the first picture is drawn; its global (pyplot) state is not touched.
"""

from minae.plots.bar_charts import bars, score_histogram, sizes
from minae.plots.figure import COLOURS
from minae.plots.images import decoded_grid, image_grid, reconstructions
from minae.plots.lines import error_bars, loss_curve
from minae.plots.plane import latent_scatter, vector_field
from minae.plots.rolls import piano_rolls
from minae.plots.series import curves, series_errors
from minae.plots.tiles import tile_maps

__all__ = [
    "COLOURS",
    "bars",
    "curves",
    "decoded_grid",
    "error_bars",
    "image_grid",
    "latent_scatter",
    "loss_curve",
    "piano_rolls",
    "reconstructions",
    "score_histogram",
    "series_errors",
    "sizes",
    "tile_maps",
    "vector_field",
]
