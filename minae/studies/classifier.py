"""classifier: pretrain on unlabelled images, fine-tune with few labels; beside random weights.

A denoising autoencoder 784-500-250 sees all training images and no label. Its encoder with a
softmax head is then fine-tuned on 100 … 10 000 labelled images, and so is the same network from
random initial weights: same steps, same images, three choices of images each. The test error is
that of all test images. The classifier of the most labels is saved.
"""

from typing import Any

import numpy as np

from minae import io, plots, random
from minae.layers import Dense, MaskingNoise, Sequential
from minae.losses import BCEWithLogits
from minae.models import Classifier, DenoisingAutoencoder
from minae.optim import Adam
from minae.recipes import Recipe
from minae.studies import Run

LABELS = (100, 300, 1000, 3000, 10_000)
STEPS = 1000  # of fine-tuning


def encoder() -> Sequential:
    return Sequential(Dense(784, 500, activation="relu"), Dense(500, 250, activation="relu"))


def pretraining() -> Recipe:
    model = DenoisingAutoencoder(
        input_shape=(784,),
        encoder=encoder(),
        decoder=Sequential(Dense(250, 500, activation="relu"), Dense(500, 784)),
        loss=BCEWithLogits(reduction="mean"),
        noise=MaskingNoise(p=0.3),
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=20)


def fine_tuning(classes: int, seed: int) -> Recipe:
    model = Classifier((784,), encoder(), Dense(250, classes), classes)
    return Recipe(model, Adam(lr=5e-4), batch_size=100, steps=STEPS, seed=seed)


def study(run: Run) -> dict[str, Any]:
    data = run.data
    before = pretraining()
    before.seed, before.epochs = run.seed, run.epochs or before.epochs
    run.fit("pretraining, no labels", before, data.train_images)
    counts = [n for n in LABELS if n < len(data.train_images)] or [len(data.train_images)]
    errors: dict[str, dict[int, list[float]]] = {"pretrained": {}, "random weights": {}}
    for n in counts:
        for start, by_count in errors.items():
            for seed in range(run.seed, run.seed + run.seeds):
                order = random.permutation(run.ops, seed, 0, len(data.train_images))
                order = run.ops.to_numpy(order)[:n]
                recipe = fine_tuning(data.classes, seed)
                model = recipe.model.bind(run.ops, run.dtype, seed)
                assert isinstance(model, Classifier)
                if start == "pretrained":
                    model.take_encoder(before.model)
                images, labels = data.train_images[order], data.train_labels[order]
                run.fit(f"{n} labels, {start}, seed {seed}", recipe, images, labels)
                rate = model.evaluate(data.test_images, data.test_labels)["error_rate"]
                by_count.setdefault(n, []).append(rate)
                if start == "pretrained" and n == counts[-1]:
                    io.save(model, run.folder / "model.safetensors")
        found = ", ".join(f"{start} {100 * np.mean(e[n]):.2f} %" for start, e in errors.items())
        run.say(f"{n} labels: test error {found}")
    series = {
        start: (
            counts,
            [100 * float(np.mean(e[n])) for n in counts],
            [100 * float(np.std(e[n], ddof=1)) for n in counts],
        )
        for start, e in errors.items()
    }
    plots.error_bars(
        run.folder / "errors.png",
        series,
        x_label="labelled images",
        y_label="test error, %",
        title="classifier: pretrained on unlabelled images, and not",
        log_x=True,
    )
    return {
        "test_error_rate": {
            start: {str(n): by_count[n] for n in counts} for start, by_count in errors.items()
        }
    }
