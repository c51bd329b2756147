"""kernels: what the encoder's units look for, in a plain autoencoder and in a denoising one (M8).

Both are 784-500-784, tanh, an over-complete code for MNIST's 784 mostly blank pixels. The plain one
needs no structure to copy its input, and its kernels look like noise; the denoising one must infer
dropped pixels from their neighbours, and its kernels are spots and strokes (Vincent et al. 2008).
"""

from typing import Any

import numpy as np

from minae import plots, recipes
from minae.figures import as_grey, kernels
from minae.studies import Run

SIDE = 7  # kernels in a row and in a column, of each model: those of the largest norm


def study(run: Run) -> dict[str, Any]:
    data, blocks, figures = run.data, [], {}
    for name, title in (("tanh", "plain"), ("denoising", "denoising")):
        recipe = recipes.make(name, latent=500)
        recipe.seed, recipe.epochs = run.seed, run.epochs or recipe.epochs
        run.fit(title, recipe, data.train_images)
        w = kernels(recipe.model)
        assert w is not None
        largest = np.argsort(-np.square(w).sum(axis=1), kind="stable")[: SIDE * SIDE]
        blocks.append(as_grey(w[np.sort(largest)]).reshape(SIDE, SIDE, -1))
        figures[title] = recipe.model.evaluate(data.test_images)
    paper = np.zeros((SIDE, 1, blocks[0].shape[2]))
    rows = np.concatenate([blocks[0], paper, blocks[1]], axis=1)  # (SIDE, 2·SIDE + 1, D)
    plots.image_grid(
        run.folder / "kernels.png",
        rows.reshape(-1, rows.shape[2]),
        data.image_shape,
        2 * SIDE + 1,
        title="encoder kernels: plain (left) and denoising (right); mid-grey is 0",
    )
    return {"test": figures}
