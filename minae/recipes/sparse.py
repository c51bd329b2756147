"""sparse (M12): 784-256-784, ReLU code, L1 penalty: each image is drawn with a few of 256 strokes.

loss = squared error an image + weight · mean over images of Σ_j |z_j|. ReLU makes a number that the
penalty drives down exactly 0; active_share in summary.json is the share that is not.
"""

from minae.layers import Dense
from minae.losses import MSE
from minae.models import SparseAutoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 256) -> Recipe:
    model = SparseAutoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, activation="relu"),
        decoder=Dense(latent, 784, activation="sigmoid"),
        loss=MSE(reduction="image"),
        weight=0.2,
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=20)
