"""iwae: 784-200-200-z50 and back, tanh, the importance-weighted autoencoder of Burda et al. (2016).

loss = -log of the mean of k importance weights, nats an image; `samples` is k. Published for this
set-up, 5000-sample NLL on MNIST's test set: k = 1 (the VAE) 86.76, k = 5 85.54, k = 50 84.78, after
3280 epochs in which the learning rate falls from 1e-3 to 1e-4. `python -m bench.iwae` compares the
three after fewer. Pixels are drawn black or white anew at every visit.
"""

from minae.init import Xavier, Zeros
from minae.layers import Dense, Sequential
from minae.losses import BCEWithLogits
from minae.models import ImportanceWeightedAutoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 50, samples: int = 5) -> Recipe:
    def layer(in_features: int, out_features: int, activation: str = "tanh") -> Dense:
        return Dense(in_features, out_features, activation, init=Xavier(), bias_init=Zeros())

    model = ImportanceWeightedAutoencoder(
        input_shape=(784,),
        latent=latent,
        encoder=Sequential(layer(784, 200), layer(200, 200), layer(200, 2 * latent, "identity")),
        decoder=Sequential(layer(latent, 200), layer(200, 200), layer(200, 784, "identity")),
        loss=BCEWithLogits(reduction="image"),
        samples=samples,
    )
    return Recipe(model, Adam(lr=1e-3, eps=1e-4), batch_size=100, epochs=20)
