"""beta-vae (M13): the recipe vae with four times the weight on the KL divergence.

loss = reconstruction + beta · KL, nats an image (Higgins et al. 2017). A beta above 1 buys codes
nearer to the prior, and fewer of them in use, with blurred images; the ledger's nats are those of
beta = 1, so that they can be compared with vae's. As there, the standard deviation is
exp(½ log_var), not the exp(log_var) of one source page.
"""

from minae.layers import Dense, Sequential
from minae.losses import BCEWithLogits
from minae.models import VariationalAutoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 20) -> Recipe:
    model = VariationalAutoencoder(
        input_shape=(784,),
        latent=latent,
        encoder=Sequential(
            Dense(784, 400, activation="relu"),
            Dense(400, 2 * latent),  # mean and log-variance
        ),
        decoder=Sequential(
            Dense(latent, 400, activation="relu"),
            Dense(400, 784),  # its sigmoid is part of the loss
        ),
        loss=BCEWithLogits(reduction="image"),
        beta=4.0,
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=128, epochs=20)
