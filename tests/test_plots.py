"""The pictures: what their pixels show, that they are whole files, and what they leave alone."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from minae import plots
from minae.plots.figure import DPI
from minae.plots.images import GAP, GRID_WIDTH, IMAGE_WIDTH

RNG = np.random.default_rng(0)
MARGIN = round(0.1 * DPI)  # of paper around every picture
IMAGES = RNG.random((24, 6 * 5))


def draw_loss_curve(path):
    epochs = [1, 2, 3]
    plots.loss_curve(
        path,
        {"train": (epochs, [0.3, 0.2, 0.15]), "test": (epochs, [0.31, 0.22, 0.17])},
        running=(np.linspace(0, 3, 300), np.linspace(0.7, 0.15, 300)),
        levels={"floor": 0.06},
        title="loss",
        y_label="BCE (nats a pixel)",
    )


def draw_one_epoch(path):
    plots.loss_curve(path, {"train": ([1], [0.3])}, y_label="MSE", log=True)


def draw_reconstructions(path):
    plots.reconstructions(path, IMAGES[:12], IMAGES[12:], (6, 5), title="reconstructions")


def draw_image_grid(path):
    plots.image_grid(path, IMAGES, (6, 5), 6, title="classes", row_labels=["0", "1", "2", "3"])


def draw_latent_scatter(path):
    codes = RNG.normal(size=(500, 2))
    plots.latent_scatter(path, codes, np.arange(500) % 10, title="codes")


def draw_many_classes(path):
    plots.latent_scatter(path, RNG.normal(size=(500, 2)), np.arange(500) % 47)


def draw_decoded_grid(path):
    plots.decoded_grid(path, IMAGES, (6, 5), np.linspace(-2, 2, 6), np.linspace(2, -2, 4))


def draw_error_bars(path):
    series = {
        "ours": ([2, 5, 10], [0.3, 0.2, 0.1], [0.02, 0.01, 0.01]),
        "PCA": ([2, 10], [1, 0.5], None),
    }
    plots.error_bars(path, series, x_label="d", y_label="MSE", title="errors", log_x=True)


def draw_vector_field(path):
    starts = RNG.random((30, 2))
    curve = np.stack([np.linspace(0, 1, 50)] * 2, axis=1)
    plots.vector_field(path, starts, 0.5 * starts + 0.2, RNG.random((9, 9)), curve, title="field")


DRAWINGS = (
    draw_error_bars,
    draw_vector_field,
    draw_loss_curve,
    draw_one_epoch,
    draw_reconstructions,
    draw_image_grid,
    draw_latent_scatter,
    draw_many_classes,
    draw_decoded_grid,
)


@pytest.mark.parametrize("draw", DRAWINGS)
def test_one_whole_picture(tmp_path, draw):
    path = tmp_path / "picture.png"
    draw(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]
    pixels = imread(path)[:, :, :3]
    height, width, _ = pixels.shape
    assert 100 < height < 1500 and 300 < width < 1500
    ink = (pixels < 0.99).any(axis=2)
    assert 0.01 < ink.mean() < 0.9
    # No wasted paper: ink begins within a margin's breadth (and a letter's) of each edge.
    down, across = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    reach = 2 * MARGIN
    assert down[0] <= reach and down[-1] >= height - 1 - reach
    assert across[0] <= reach and across[-1] >= width - 1 - reach


def dots(path, rows, columns, image_shape):
    """What an image_grid shows at the centre of every image pixel: (rows·columns, H·W)."""
    H, W = image_shape
    size = min(IMAGE_WIDTH // W, GRID_WIDTH // (columns * (W + GAP) - GAP))
    i = np.concatenate([r * (H + GAP) + np.arange(H) for r in range(rows)])
    j = np.concatenate([c * (W + GAP) + np.arange(W) for c in range(columns)])
    grey = 1 - imread(path)[MARGIN + size // 2 :, MARGIN + size // 2 :, 0]
    cells = grey[np.ix_(i * size, j * size)].reshape(rows, H, columns, W)
    return cells.transpose(0, 2, 1, 3).reshape(rows * columns, H * W)


def test_image_grid_draws_every_pixel_in_its_place(tmp_path):
    path = tmp_path / "grid.png"
    plots.image_grid(path, IMAGES, (6, 5), 6)
    np.testing.assert_allclose(dots(path, 4, 6, (6, 5)), IMAGES, atol=1 / 128)


def test_an_unfinished_row_stays_white(tmp_path):
    path = tmp_path / "grid.png"
    plots.image_grid(path, IMAGES[:7], (6, 5), 4)
    drawn = dots(path, 2, 4, (6, 5))
    np.testing.assert_allclose(drawn[:7], IMAGES[:7], atol=1 / 128)
    assert (drawn[7] == 0).all()


def test_reconstructions_stand_below_their_originals(tmp_path):
    path = tmp_path / "reconstructions.png"
    plots.reconstructions(path, IMAGES[:12], IMAGES[12:], (6, 5), ("", ""), columns=10)
    shown = np.concatenate([IMAGES[:10], IMAGES[12:22]])
    np.testing.assert_allclose(dots(path, 2, 10, (6, 5)), shown, atol=1 / 128)


def test_decoded_grid_runs_rightwards_and_downwards(tmp_path):
    path = tmp_path / "decoded.png"
    images = np.ones((6, 30))
    images[1] = 0  # (z1[1], z2[0]): the middle of the upper row
    plots.decoded_grid(path, images, (6, 5), [-1, 0, 1], [1, -1])
    size = min(IMAGE_WIDTH // 5, GRID_WIDTH // 15)
    grey = 1 - imread(path)[:, :, 0]
    black = grey > 0.9
    top = np.flatnonzero(black.sum(axis=1) > 5 * size)[0]
    left = np.flatnonzero(black.sum(axis=0) > 6 * size)[0]
    i = top + size * np.array([3, 9])  # centres of the rows and columns
    j = left + size * np.array([2.5, 7.5, 12.5]).astype(int)
    np.testing.assert_allclose(grey[np.ix_(i, j)], [[1, 0, 1], [1, 1, 1]], atol=1 / 128)


def test_latent_scatter_gives_each_class_its_colour_and_place(tmp_path):
    path = tmp_path / "scatter.png"
    corners = np.array([[-1.0, 1.0], [1.0, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    codes = np.repeat(corners, 50, axis=0) + RNG.normal(size=(200, 2)) * 0.01
    plots.latent_scatter(path, codes, np.repeat([3, 5, 7, 9], 50))
    pixels = imread(path)[:, :, :3]
    centres = []
    for colour in plots.COLOURS[:4]:
        rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        where = np.argwhere((np.abs(pixels - rgb) < 0.01).all(axis=2))
        where = where[where[:, 1] < 0.85 * pixels.shape[1]]  # left of the legend
        assert len(where) > 10
        centres.append(where.mean(axis=0))
    (y0, x0), (y1, x1), (y2, x2), (y3, x3) = centres
    assert x0 == pytest.approx(x2, abs=5) and x1 == pytest.approx(x3, abs=5) and x0 < x1
    assert y0 == pytest.approx(y1, abs=5) and y2 == pytest.approx(y3, abs=5) and y0 < y2
    assert x1 - x0 == pytest.approx(y2 - y0, abs=5)  # equal scales


def test_a_single_epoch_shows_its_point(tmp_path):
    path = tmp_path / "loss.png"
    plots.loss_curve(path, {"train": ([1], [0.3])}, y_label="MSE")
    pixels = imread(path)[:, :, :3]
    middle = pixels[:, pixels.shape[1] // 4 : pixels.shape[1] * 3 // 4]  # without the legend
    blue = np.array([0x1F, 0x77, 0xB4]) / 255
    assert (np.abs(middle - blue) < 0.01).all(axis=2).sum() > 30


def test_a_failed_picture_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"the old picture")

    def half(self, partial, **keywords):
        partial.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(OSError, match="No space left"):
        draw_image_grid(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]
    assert path.read_bytes() == b"the old picture"


def test_bad_arguments(tmp_path):
    path = tmp_path / "picture.png"
    with pytest.raises(ValueError, match=r"^1 row labels, 4 wanted$"):
        plots.image_grid(path, IMAGES, (6, 5), 6, row_labels=["one"])
    with pytest.raises(ValueError, match=r"^originals \(2, 30\) and reconstructions \(3, 30\)"):
        plots.reconstructions(path, IMAGES[:2], IMAGES[:3], (6, 5))
    with pytest.raises(ValueError, match=r"^24 images, 5·4 wanted$"):
        plots.decoded_grid(path, IMAGES, (6, 5), range(4), range(5))
    with pytest.raises(ValueError, match="reshape"):
        plots.image_grid(path, IMAGES, (3, 5), 6)
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_imported_late_and_pyplot_never(tmp_path):
    program = f"""
import sys
from pathlib import Path
import numpy as np
import minae.plots
assert not any(name.split(".")[0] == "matplotlib" for name in sys.modules)
minae.plots.image_grid(Path({str(tmp_path / "grid.png")!r}), np.zeros((2, 4)), (2, 2), 2)
assert "matplotlib.figure" in sys.modules
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
