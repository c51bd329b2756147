"""tied (M10): the shape of vanilla, 784-32-784, the encoder's weights transposed as the decoder's.

Half the weights of vanilla, whose error it is to be compared with. (Tied weights alone do not make
it PCA, as one source page says; see the recipe pca. Nor are they harmless everywhere: the recipe
tanh stays at the mean image with them, since pixels of -1 saturate its code from the start.)
"""

from minae.layers import Dense
from minae.losses import BCEWithLogits
from minae.models import TiedAutoencoder
from minae.models.tied import TransposedDense
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 32) -> Recipe:
    model = TiedAutoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, activation="leaky_relu"),
        decoder=TransposedDense(latent, 784),  # its sigmoid is part of the loss
        loss=BCEWithLogits(reduction="mean"),
    )
    return Recipe(model, Adam(lr=2e-3), batch_size=256, epochs=10)
