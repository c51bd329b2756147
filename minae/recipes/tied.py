"""tied (M10): the recipe tanh with the encoder's weights, transposed, as its decoder's.

Half the weights of tanh, whose error it is to be compared with. (Tied weights alone do not make it
PCA, as one source page says; see the recipe pca.)
"""

from minae.layers import Dense
from minae.losses import MSE
from minae.models import TiedAutoencoder
from minae.models.tied import TransposedDense
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 30) -> Recipe:
    model = TiedAutoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, activation="tanh"),
        decoder=TransposedDense(latent, 784, activation="tanh"),
        loss=MSE(reduction="mean"),
        pixel_range=(-1.0, 1.0),
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=20)
