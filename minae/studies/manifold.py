"""manifold: a denoising autoencoder of points on a curve, which learns to walk back to the curve.

The data are points on a spiral in the unit square, the noise is Gaussian. For small noise r(x) - x,
the way from an input to its output, points along the gradient of the data's log density (Alain and
Bengio 2014): arrows.png shows it on a grid, beside how far each point travels.
"""

from typing import Any

import numpy as np

from minae import plots
from minae.backends.spec import Array
from minae.layers import Dense, GaussianNoise, Sequential
from minae.losses import MSE
from minae.models import DenoisingAutoencoder
from minae.optim import Adam, Cosine
from minae.recipes import Recipe
from minae.studies import Run

POINTS, STEPS, STD = 20_000, 6000, 0.06
READS_DATA = False


def spiral(count: int) -> Array:
    """Points (count, 2) along one and a half turns of a spiral, all in the unit square."""
    s = (np.arange(count) + 0.5) / count
    angle, radius = 3 * np.pi * s, 0.1 + 0.33 * s
    points: Array = 0.5 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return points


def recipe(steps: int, seed: int) -> Recipe:
    model = DenoisingAutoencoder(
        input_shape=(2,),
        encoder=Sequential(Dense(2, 128, activation="tanh"), Dense(128, 128, activation="tanh")),
        decoder=Sequential(Dense(128, 128, activation="tanh"), Dense(128, 2)),
        loss=MSE(reduction="image"),
        pixel_range=(-1.0, 1.0),
        noise=GaussianNoise(std=2 * STD),  # in [-1, 1]
    )
    return Recipe(model, Adam(3e-3, schedule=Cosine(steps)), batch_size=256, steps=steps, seed=seed)


def study(run: Run) -> dict[str, Any]:
    points = spiral(POINTS)
    steps = STEPS if run.epochs is None else run.epochs * -(-POINTS // 256)
    trained = recipe(steps, run.seed)
    run.fit("denoising autoencoder of a spiral", trained, points)
    model = trained.model
    assert isinstance(model, DenoisingAutoencoder)
    side = np.linspace(0, 1, 26)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)  # (26², 2), row by row
    fine = np.linspace(0, 1, 201)
    field = np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
    travelled = np.linalg.norm(model.denoise(field) - field, axis=1).reshape(201, 201)
    plots.vector_field(
        run.folder / "arrows.png",
        grid,
        model.denoise(grid),
        travelled,
        spiral(400),
        title="input → output of a denoising autoencoder, and the distance",
    )

    def distance(x: Array) -> float:
        """Mean distance to the nearest point of the curve."""
        curve = spiral(2000)
        nearest = [np.linalg.norm(curve - p, axis=1).min() for p in x]
        return float(np.mean(nearest))

    noisy = model.damage(spiral(500))
    figures = {"noisy": distance(noisy), "denoised": distance(model.denoise(noisy))}
    run.say(
        f"distance to the curve: noisy {figures['noisy']:.4f}, denoised {figures['denoised']:.4f}"
    )
    return {"mean_distance_to_the_curve": figures}
