"""Anomaly scores: how strange each sample is to the model, which are reported at a stated rate of
false alarms, and the pixels, time steps, features, tiles or notes that carry the score.

The threshold is the quantile of the scores of normal samples that the model was not trained on:
those that the data hold out for it (series, connections), else those of the test set. If that is
what is scored, every second normal sample of it sets the threshold and is not scored itself. Labels
say which samples are normal (0 in series and connections, else --normal); the AUROC is printed
where some are not.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from minae import anomaly, command, plots
from minae.backends.spec import Array
from minae.datasets import LevelSet, SeriesSet
from minae.errors import MinaeError
from minae.files import whole_file
from minae.losses import BCEWithLogits
from minae.models import SeriesAutoencoder

SHOWN = 12  # samples of a picture
NAMED = 3  # parts named for each sample
LEAST = 0.02  # share of a map's score from which on a tile is drawn


def errors(
    model: Any,
    images: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    kind: str = "error",
) -> Array:
    """What each element adds to its sample's score: (M, D), or (M, D + 1) for "elbo".

    kind "error": (y - x)², so that the score is the squared reconstruction error; of models that
    have a method `score`, what sums to that. kind "elbo", for variational models with BCE: the BCE
    of y from the mean code, less its floor at y = x, and in the last column the KL of the code; the
    sum is the negative ELBO at the mean, less the entropy of the grey values. Raises MinaeError if
    the model has none of it.
    """
    images = np.asarray(images)
    if kind == "error" and hasattr(model, "errors"):  # of series and connections
        own: Array = model.errors(images)
        return own / own.shape[1] if isinstance(model, SeriesAutoencoder) else own
    x = (images / 255 if images.dtype == np.uint8 else images).reshape(len(images), -1)
    given = {} if model.classes is None else {"labels": labels}
    y = model.reconstruct(images, **given)
    if kind == "error":
        squared: Array = np.square(y - x)
        return squared
    if not (hasattr(model, "encode_batch") and isinstance(model.loss, BCEWithLogits)):
        raise MinaeError(f"{type(model).__name__} has no ELBO in nats: take --score error")
    kls = []
    for _, cache in model.chunks(images, labels):
        model.encode_batch(cache)
        mean, log_var = (model.ops.to_numpy(a) for a in (cache.mean, cache.log_var))
        kls.append(0.5 * np.sum(mean**2 + np.exp(log_var) - 1 - log_var, axis=1, keepdims=True))
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(x > 0, x * (np.log(x) - np.log(np.maximum(y, 1e-37))), 0)
        terms += np.where(x < 1, (1 - x) * (np.log(1 - x) - np.log(np.maximum(1 - y, 1e-37))), 0)
    return np.concatenate([terms, np.concatenate(kls)], axis=1)


def parser() -> command.Parser:
    p = command.parser_for("score", __doc__.split("\n\n")[0])
    p.add_argument("--score", choices=("error", "elbo"), default="error")
    p.add_argument(
        "--false-alarms",
        type=command.share,
        default=0.01,
        metavar="X",
        help="share of normal samples that may be reported (default: 0.01)",
    )
    p.add_argument(
        "--normal",
        type=command.whole(0),
        nargs="+",
        metavar="C",
        help="labels of the normal samples; all others are anomalies",
    )
    p.add_argument(
        "--out",
        type=command.output(".csv", ".png"),
        metavar="FILE",
        help=".csv with a row a sample (default: RUN/scores.csv), or .png of the highest",
    )
    return p


def score(options: argparse.Namespace) -> None:
    run = command.Run(options.run, options.backend)
    model = run.able("reconstruct")
    path = options.out or run.folder / "scores.csv"
    if path.suffix == ".png":
        run.output(path, "scores")
    samples = run.samples(options)
    held_out = getattr(run.data, "held_out_images", None)
    if held_out is not None and options.normal is None and samples.labels is not None:
        options.normal = [0]
    anomalous = _anomalous(samples, options.normal)
    if held_out is not None:
        calibration = command.Samples(held_out, None, np.arange(len(held_out)))
    elif options.data is None and options.split == "test":
        normal = np.arange(len(samples)) if anomalous is None else np.flatnonzero(~anomalous)
        calibration = samples.chosen(normal[::2])
        kept = np.setdiff1d(np.arange(len(samples)), normal[::2])
        samples = samples.chosen(kept)
        anomalous = None if anomalous is None else anomalous[kept]
    else:
        calibration = run.part("test")
        strange = _anomalous(calibration, options.normal)
        calibration = calibration if strange is None else calibration.chosen(~strange)
    if min(len(samples), len(calibration)) < 2:
        raise MinaeError("too few samples: some must set the threshold, and some be scored")
    terms = errors(model, samples.images, samples.labels, kind=options.score)
    scores = terms.sum(axis=1)
    own = errors(model, calibration.images, calibration.labels, kind=options.score).sum(axis=1)
    limit = anomaly.threshold(own, options.false_alarms)
    what = run.kind.samples
    print(
        f"{len(scores)} {what} scored; threshold {limit:.5g} for {options.false_alarms:.2%} false "
        f"alarms, from {len(own)} normal {what}; {np.mean(scores > limit):.2%} are above it"
    )
    if anomalous is not None and 0 < anomalous.sum() < len(anomalous):
        found = anomaly.detection(scores, anomalous, limit)
        print(
            f"AUROC {anomaly.auroc(scores, anomalous):.4f}; {found['detection_rate']:.2%} of "
            f"{anomalous.sum()} anomalies found at {found['false_alarm_rate']:.2%} false alarms"
        )
    highest = np.argsort(-scores)[:SHOWN]
    names = run.kind.parts(model)
    D = samples.images.shape[1]
    if terms.shape[1] > D:
        names["the code"] = slice(D, D + 1)
    for i in highest[:5]:
        carriers = _carriers(terms[i], names)
        print(f"  {run.kind.sample} {samples.rows[i]}: {scores[i]:.4g}, from {carriers}")
    if path.suffix == ".csv":
        _write(path, samples, scores, limit, terms, names)
        print(path)
        return
    _draw(run, path, samples.chosen(highest), terms[highest][:, :D])


def _draw(run: command.Run, path: Path, top: command.Samples, terms: Array) -> None:
    """The samples, their reconstructions, and what carries their scores, the terms (M, D)."""
    x, y = top.pixels, run.model.reconstruct(top.images, **run.labels(top.labels))
    if issubclass(run.kind, SeriesSet):
        names = [f"series {n}, score {s:.4g}" for n, s in zip(top.rows, terms.sum(1), strict=True)]
        title = f"{run.name}: the highest scores"
        try:
            plots.series_errors(path, names, x, y, terms, title=title)
        except OSError as error:
            raise MinaeError(f"cannot write {path} ({error.strerror})") from error
        print(path)
        return
    if issubclass(run.kind, LevelSet):  # the tiles that carry most, on blank paper
        channels = run.model.input_shape[0]
        of_tiles = terms.reshape(len(x), channels, -1).sum(axis=1)  # (M, H·W)
        carries = of_tiles >= LEAST * of_tiles.sum(axis=1, keepdims=True)
        heat = x * np.tile(carries, channels)
        name = f"tiles of {LEAST:.0%} of the score"
    else:
        heat = terms / np.maximum(terms.max(axis=1, keepdims=True), 1e-12)
        name = "what carries the score"
    rows = (run.kind.sample, "reconstruction", name)
    run.write(path, heat, [x, y, heat], rows, "the highest scores")


def _anomalous(samples: command.Samples, normal: list[int] | None) -> Array | None:
    if normal is None:
        return None
    if samples.labels is None:
        raise MinaeError("--normal wants labels, and these samples have none")
    return ~np.isin(samples.labels, normal)


def _carriers(terms: Array, names: dict[str, slice]) -> str:
    """The largest parts of one score, with their shares."""
    parts = {name: float(terms[columns].sum()) for name, columns in names.items()}
    largest = sorted(parts, key=parts.__getitem__, reverse=True)[:NAMED]
    total = max(float(terms.sum()), 1e-30)
    return ", ".join(f"{name} {parts[name] / total:.0%}" for name in largest)


def _write(
    path: Path,
    samples: command.Samples,
    scores: Array,
    limit: float,
    terms: Array,
    names: dict[str, slice],
) -> None:
    try:
        with (
            whole_file(path) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(("sample", "label", "score", "above", "carried by"))
            labels = [""] * len(scores) if samples.labels is None else samples.labels
            for row in zip(samples.rows, labels, scores, scores > limit, terms, strict=True):
                number, label, value, above, parts = row
                carriers = _carriers(parts, names) if above else ""
                writer.writerow((number, label, f"{value:.6g}", int(above), carriers))
    except OSError as error:
        raise MinaeError(f"cannot write {path} ({error.strerror})") from error


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), score, arguments)


if __name__ == "__main__":
    sys.exit(main())
