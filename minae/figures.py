"""The pictures of a run: what the trained model allows, drawn by minae.plots."""

from pathlib import Path

import numpy as np

from minae import plots
from minae.anomaly import contributions, threshold
from minae.backends.spec import Array
from minae.bicubic import bicubic
from minae.datasets import AnomalySet, Dataset, ImageSet, LevelSet, RecordSet, RollSet, SeriesSet
from minae.datasets.levels import COLOURS, KINDS
from minae.detection import FALSE_ALARMS, Detector
from minae.layers import Dense
from minae.layers.layer import Layer
from minae.ledger import principal_components
from minae.models import (
    Autoencoder,
    ConditionalVAE,
    DenoisingAutoencoder,
    RecordVAE,
    SeriesAutoencoder,
    SuperResolution,
    VariationalAutoencoder,
)
from minae.models.model import Model
from minae.run import Metrics

POINTS = 5000  # of a scatter; more hide each other
SIDE = 15  # of a decoded grid


def write_figures(folder: Path, model: Model, data: Dataset, metrics: Metrics, title: str) -> None:
    """Write folder/*.png: loss, reconstructions, codes, and whatever else the model can draw."""
    folder.mkdir(exist_ok=True)
    plots.loss_curve(
        folder / "loss.png",
        {split: metrics.series(split) for split in ("train", "test")},
        y_label=data.say(f"loss ({model.loss.unit})"),
        title=title,
    )
    if isinstance(data, RollSet) and isinstance(model, VariationalAutoencoder):
        _rolls(folder, model, data, title)
    elif isinstance(data, ImageSet):
        _of_images(folder, model, data, title)
    elif isinstance(data, SeriesSet) and isinstance(model, SeriesAutoencoder):
        _series(folder / "series.png", model, data, title)
        _scores(folder / "scores.png", model, data, title)
        _codes(folder, model, data, title)
    elif isinstance(data, RecordSet) and isinstance(model, RecordVAE):
        _features(folder / "features.png", model, data, title)
        _scores(folder / "scores.png", model, data, title)
        _codes(folder, model, data, title)
    elif isinstance(data, LevelSet) and isinstance(model, VariationalAutoencoder):
        _levels(folder, model, data, title)


def _of_images(folder: Path, model: Model, data: ImageSet, title: str) -> None:
    """What a model of grey images can draw."""
    if isinstance(model, SuperResolution):
        _enlarged(folder / "enlarged.png", model, data, title)
        return
    if isinstance(model, Autoencoder | VariationalAutoencoder):
        _reconstructions(folder / "reconstructions.png", model, data, title)
        _codes(folder, model, data, title)
    if isinstance(model, Autoencoder):
        _kernels(folder / "kernels.png", model, data, title)
    if isinstance(model, DenoisingAutoencoder):
        _denoised(folder / "denoised.png", model, data, title)
    elif isinstance(model, Autoencoder) and model.code >= data.train_images.shape[1]:
        _copies(folder / "copies.png", model, data, title)
    if isinstance(model, ConditionalVAE):
        _one_row_per_class(folder / "classes.png", model, data, title)
    elif isinstance(model, VariationalAutoencoder):
        images = model.sample(100)
        plots.image_grid(
            folder / "samples.png", images, data.image_shape, 10, title=f"{title}: z ~ N(0, 1)"
        )


def _labels(model: Model, labels: Array) -> dict[str, Array]:
    """The labels as an argument, for models that are conditioned on them."""
    return {} if model.classes is None else {"labels": labels}


def _reconstructions(
    path: Path, model: Autoencoder | VariationalAutoencoder, data: ImageSet, title: str
) -> None:
    """One test image of each class (the first) and its reconstruction, at most twelve."""
    _, first = np.unique(data.test_labels, return_index=True)
    first = first[:12]
    images = data.test_images[first]
    y = model.reconstruct(images, **_labels(model, data.test_labels[first]))
    plots.reconstructions(path, images / 255, y, data.image_shape, title=title)


def kernels(model: Model) -> Array | None:
    """The weights (K, D) of the encoder's first layer, None if it is not a Dense one on all
    pixels."""
    layers = _flat(getattr(model, "encoder", None))
    first = next((layer for layer in layers if layer.parameters()), None)
    if type(first) is not Dense or first.in_features != int(np.prod(model.input_shape)):
        return None
    return model.ops.to_numpy(first.w)


def as_grey(w: Array) -> Array:
    """Weights (K, D) as grey values: 0.5 is 0, and the largest of each row is black or white."""
    largest: Array = np.maximum(np.abs(w).max(axis=1, keepdims=True), 1e-12)
    return 0.5 + 0.5 * w / largest


def _flat(layer: Layer | None) -> list[Layer]:
    """A layer and those inside it, in order; none for None."""
    if layer is None:
        return []
    return [layer, *(part for inner in layer.sublayers() for part in _flat(inner))]


def _kernels(path: Path, model: Autoencoder, data: ImageSet, title: str) -> None:
    """What the first hundred units of the encoder's first layer look for, where it is Dense."""
    w = kernels(model)
    if w is not None:
        heading = f"{title}: kernels of the encoder, mid-grey is 0"
        plots.image_grid(path, as_grey(w[:100]), data.image_shape, 10, title=heading)


def _denoised(path: Path, model: DenoisingAutoencoder, data: ImageSet, title: str) -> None:
    """One test image of each class (the first), damaged, and repaired."""
    _, first = np.unique(data.test_labels, return_index=True)
    images = data.test_images[first[:12]]
    damaged = model.damage(images)
    rows = [images / 255, damaged, model.denoise(damaged)]
    plots.image_grid(
        path,
        np.concatenate(rows),  # (3·12, D)
        data.image_shape,
        len(images),
        title=title,
        row_labels=("original", "damaged", "denoised"),
    )


def _copies(path: Path, model: Autoencoder, data: ImageSet, title: str) -> None:
    """Six test images with half of their pixels blanked and six upside down: what a code as large
    as an image makes of what is no digit."""
    H, W = data.image_shape
    blank = np.random.default_rng(0).random((6, H * W)) < 0.5
    damaged = np.where(blank, 0, data.test_images[:6])
    turned = data.test_images[6:12].reshape(-1, H, W)[:, ::-1, ::-1].reshape(6, -1)
    images = np.concatenate([damaged, turned]) / 255
    heading = f"{title}: holes and digits upside down come through, too"
    y = model.reconstruct(images)
    captions = ("given", "output")
    plots.reconstructions(path, images, y, data.image_shape, captions, title=heading)


def _codes(
    folder: Path, model: Autoencoder | VariationalAutoencoder, data: Dataset, title: str
) -> None:
    """Codes of test images as points; for two-dimensional codes also what lies between them."""
    images, labels = data.test_images[:POINTS], data.test_labels[:POINTS]
    codes = model.encode(images, **_labels(model, labels))
    if isinstance(data, AnomalySet):
        labels = _names_of_most(labels, data.class_names)
    if codes.shape[1] < 2:
        return
    axis_labels = ("z₁", "z₂")
    if codes.shape[1] == 2 and model.classes is None and isinstance(data, ImageSet):
        _decoded_grid(folder / "grid.png", model, codes, data, title)
    if codes.shape[1] > 2:
        mean, basis = principal_components(codes, 2)
        codes = (codes - mean) @ basis
        axis_labels = ("first principal component of z", "second principal component of z")
    plots.latent_scatter(
        folder / "latent.png",
        codes,
        labels,
        title=data.say(f"{title}: codes of {len(codes)} test images"),
        axis_labels=axis_labels,
    )


def _names_of_most(labels: Array, class_names: tuple[str, ...]) -> Array:
    """Labels as names, those of all but the most frequent classes as one: colours run out."""
    most = np.argsort(-np.bincount(labels, minlength=len(class_names)), kind="stable")
    names = np.array(class_names, object)
    if len(names) > len(plots.COLOURS):
        names[most[len(plots.COLOURS) - 1 :]] = "other kinds"
    return names[labels].astype(str)


def _decoded_grid(
    path: Path,
    model: Autoencoder | VariationalAutoencoder,
    codes: Array,
    data: ImageSet,
    title: str,
) -> None:
    """Decode a grid that spans the middle 95 % of the codes in each direction."""
    low, high = np.quantile(codes, [0.025, 0.975], axis=0)
    z1, z2 = (np.linspace(low[i], high[i], SIDE) for i in (0, 1))
    z2 = z2[::-1]  # upwards, as in the scatter
    grid = np.stack(np.meshgrid(z1, z2), axis=-1).reshape(-1, 2)  # (SIDE·SIDE, 2), row by row
    plots.decoded_grid(
        path, model.decode(grid), data.image_shape, z1, z2, title=f"{title}: decoded"
    )


def _one_row_per_class(path: Path, model: ConditionalVAE, data: ImageSet, title: str) -> None:
    """The same ten styles z ~ N(0, 1), down the columns, in each class."""
    labels = np.repeat(np.arange(model.classes), 10)
    styles = np.random.default_rng(0).standard_normal((10, model.latent))
    images = model.decode(np.tile(styles, (model.classes, 1)), labels)
    names = [str(c) for c in range(model.classes)]
    plots.image_grid(
        path, images, data.image_shape, 10, title=f"{title}: one style a column", row_labels=names
    )


def _series(path: Path, model: SeriesAutoencoder, data: SeriesSet, title: str) -> None:
    """Of each class the test series whose score is its median, at most eight classes."""
    scores = model.score(data.test_images)
    chosen = [_median_of(scores, data.test_labels == c) for c in np.unique(data.test_labels)[:8]]
    series = data.test_images[chosen]
    names = [
        f"{data.class_names[data.test_labels[m]]}, score {scores[m]:.3g} (the median)"
        for m in chosen
    ]
    plots.series_errors(
        path,
        names,
        series,
        model.reconstruct(series),
        model.errors(series),
        marks=None if data.test_marks is None else data.test_marks[chosen],
        title=title,
    )


def _median_of(scores: Array, among: Array) -> int:
    """Index of the sample with the middle score of those."""
    places = np.flatnonzero(among)
    return int(places[np.argsort(scores[places])[len(places) // 2]])


def _scores(path: Path, model: Detector, data: AnomalySet, title: str) -> None:
    """Scores of the test part, and the thresholds that the held-out normal samples give."""
    held_out = model.score(data.held_out_images)
    lines = {f"{rate:.0%} false alarms": threshold(held_out, rate) for rate in FALSE_ALARMS}
    scores = model.score(data.test_images)
    plots.score_histogram(path, scores, data.test_labels != 0, lines, title=f"{title}: scores")


def _features(path: Path, model: RecordVAE, data: RecordSet, title: str) -> None:
    """The five features that carry most of the mean score of each of the most frequent classes."""
    parts = contributions(model.errors(data.test_images), model.encoding.features)
    counts = np.bincount(data.test_labels)
    panels = {}
    for c in sorted(np.argsort(-counts, kind="stable")[:6]):
        if counts[c]:
            means = {
                name: float(part[data.test_labels == c].mean()) for name, part in parts.items()
            }
            largest = sorted(means, key=lambda name: -means[name])[:5]
            panels[f"{data.class_names[c]} ({counts[c]:,})"] = {n: means[n] for n in largest}
    plots.bars(path, panels, "mean share of the score, nats", f"{title}: what carries the score")


def _levels(folder: Path, model: VariationalAutoencoder, data: LevelSet, title: str) -> None:
    """Levels drawn from z ~ N(0, 1), test levels above their reconstructions, and the codes."""
    for name, images, heading in (
        ("samples", model.sample(32), "z ~ N(0, 1), the likeliest kind of each tile"),
        (
            "reconstructions",
            np.concatenate([data.test_images[:8] / 255, model.reconstruct(data.test_images[:8])]),
            "test levels, and below them their reconstructions",
        ),
    ):
        maps = images.reshape(-1, *data.map_shape).argmax(axis=1)  # (M, 16, 16)
        plots.tile_maps(folder / f"{name}.png", maps, KINDS, COLOURS, 8, f"{title}: {heading}")
    _codes(folder, model, data, title)


def _rolls(folder: Path, model: VariationalAutoencoder, data: RollSet, title: str) -> None:
    """Rolls drawn from z ~ N(0, 1), test rolls above their reconstructions, and the codes."""
    x = data.test_images[:4]
    for name, rolls, heading in (
        ("samples", model.sample(16), "P(note) of z ~ N(0, 1)"),
        (
            "reconstructions",
            np.concatenate([x / 255, model.reconstruct(x)]),
            "test rolls, and below them their reconstructions",
        ),
    ):
        plots.piano_rolls(
            folder / f"{name}.png", rolls, data.image_shape, 4, title=f"{title}: {heading}"
        )
    _codes(folder, model, data, title)


def _enlarged(path: Path, model: SuperResolution, data: ImageSet, title: str) -> None:
    """One test image of each class (the first): small, enlarged both ways, and as it was."""
    _, first = np.unique(data.test_labels, return_index=True)
    images = data.test_images[first[:10]]
    small = model.downscale(images)
    blocks = np.kron(
        small.reshape(len(small), *model.small_shape[1:]), np.ones((1, model.factor, model.factor))
    )
    cubic = np.clip(bicubic(small, model.small_shape, model.factor), 0, 1)
    rows = [blocks.reshape(len(small), -1), cubic, model.upscale(small), images / 255]
    plots.image_grid(
        path,
        np.concatenate(rows),  # (4·10, D)
        data.image_shape,
        len(images),
        title=f"{title}: ×{model.factor}",
        row_labels=("small", "bicubic", "ours", "original"),
    )
