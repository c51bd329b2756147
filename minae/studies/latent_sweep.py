"""latent-sweep (M14): the recipe latent with codes of 2, 5, 10, 20, 50, several seeds, beside PCA.

The source page compares single runs by the last batch of 96 images, applies the sigmoid twice in
its test panel, and shows no PCA, whose errors on the test set are .0557, .0445, .0341, .0235, .0115
for these sizes. Here each size is trained with three seeds, the error is over the whole test set,
and the bars are standard deviations over the seeds.
"""

from typing import Any

import numpy as np

from minae import ledger, plots, recipes
from minae.studies import Run

SIZES = (2, 5, 10, 20, 50)
IMAGES = 8  # rows of the panel


def study(run: Run) -> dict[str, Any]:
    data = run.data
    _, first = np.unique(data.test_labels, return_index=True)
    shown = data.test_images[first[:IMAGES]]
    columns, errors, pca = [shown / 255], {}, {}
    for latent in SIZES:
        found = []
        for seed in range(run.seed, run.seed + run.seeds):
            recipe = recipes.make("latent", latent=latent)
            recipe.seed, recipe.epochs = seed, run.epochs or recipe.epochs
            run.fit(f"d = {latent}, seed {seed}", recipe, data.train_images)
            model = recipe.model
            found.append(model.evaluate(data.test_images)["mse_per_pixel"])
            if seed == run.seed:
                columns.append(model.reconstruct(shown))  # type: ignore[attr-defined]
        errors[latent] = found
        baseline = ledger.baselines(data.train_images, data.test_images, latent)["pca"]
        pca[latent] = baseline["test"]["mse_per_pixel"]
        of_autoencoder = f"{np.mean(found):.4f} ± {np.std(found, ddof=1):.4f}"
        run.say(f"d = {latent}: {of_autoencoder}, PCA {pca[latent]:.4f}")
    means = [float(np.mean(found)) for found in errors.values()]
    spreads = [float(np.std(found, ddof=1)) for found in errors.values()]
    plots.error_bars(
        run.folder / "errors.png",
        {
            f"autoencoder, {run.seeds} seeds": (SIZES, means, spreads),
            "PCA": (SIZES, [*pca.values()], None),
        },
        x_label="numbers in the code",
        y_label="test MSE a pixel",
        title="latent-sweep: error by size of the code",
    )
    panel = np.stack(columns, axis=1).reshape(-1, shown.shape[1])  # (IMAGES·(sizes + 1), D)
    plots.image_grid(
        run.folder / "panel.png",
        panel,
        data.image_shape,
        len(columns),
        title="latent-sweep: original, then " + ", ".join(f"d = {d}" for d in SIZES),
    )
    return {
        "test_mse_per_pixel": {
            str(d): {"seeds": errors[d], "mean": m, "standard_deviation": s, "pca": pca[d]}
            for d, m, s in zip(SIZES, means, spreads, strict=True)
        }
    }
