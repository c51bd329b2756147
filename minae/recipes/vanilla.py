"""vanilla (M1): 784-32-784, leaky ReLU code, Bernoulli pixels; the smallest useful autoencoder.

The source page trains 5 epochs and prints the BCE of single batches, 0.0927-0.0948 at the end; its
grey pixels put a floor of 0.0581 nats under that figure, which the ledger shows beside ours.
"""

from minae.init import Normal, Zeros
from minae.layers import Dense
from minae.losses import BCEWithLogits
from minae.models import Autoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 32) -> Recipe:
    normal, zeros = Normal(0.1), Zeros()
    model = Autoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, activation="leaky_relu", init=normal, bias_init=zeros),
        decoder=Dense(latent, 784, init=normal, bias_init=zeros),  # its sigmoid is in the loss
        loss=BCEWithLogits(reduction="mean"),
    )
    return Recipe(model, Adam(lr=5e-3), batch_size=256, epochs=5, seed=123)
