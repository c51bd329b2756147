"""pca (M10): a linear autoencoder with tied weights on centred images: the principal subspace.

One source page says that tied weights give PCA. It takes three things: linear layers, squared error
and centred data (tied weights then make the rows of w orthonormal, too). Its error is to be that of
PCA, which stands beside it in the table, to three digits.
"""

from minae.layers import Dense
from minae.losses import MSE
from minae.models import TiedAutoencoder
from minae.models.tied import TransposedDense
from minae.optim import Adam, Cosine
from minae.recipes.recipe import Recipe

EPOCHS, BATCH_SIZE, SAMPLES = 20, 250, 60_000


def recipe(latent: int = 30) -> Recipe:
    model = TiedAutoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, bias=False),
        decoder=TransposedDense(latent, 784, bias=False),
        loss=MSE(reduction="image"),
        centred=True,
    )
    fall = Cosine(EPOCHS * SAMPLES // BATCH_SIZE)
    return Recipe(model, Adam(lr=2e-3, schedule=fall), batch_size=BATCH_SIZE, epochs=EPOCHS)
