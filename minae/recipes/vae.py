"""vae (M2): 784-400-z20-400-784, the variational autoencoder of Kingma and Welling, in nats.

One source page samples z = mean + exp(log_var) eps; the standard deviation is exp(½ log_var), and
that is what minae.models.variational draws.
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
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=128, epochs=40)
