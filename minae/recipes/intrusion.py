"""intrusion (M15): a VAE of connection records, numbers and words mixed; attacks are its surprises.

Trained on normal connections only. The score of a record is what its features cost in nats,
decoded from its mean code, and each feature's share says what is strange about it. Data:
connections made here; --data takes NSL-KDD or KDD'99 records or a CSV table.
"""

from minae.datasets import RecordSet as Data
from minae.datasets.encoding import Encoding
from minae.errors import MinaeError
from minae.layers import Dense, Sequential
from minae.losses import MixedLoss
from minae.models import RecordVAE
from minae.optim import Adam
from minae.recipes.recipe import Recipe

__all__ = ["Data", "recipe"]


def recipe(latent: int = 6, encoding: Encoding | None = None) -> Recipe:
    if encoding is None:
        raise MinaeError("recipe 'intrusion' fits its model to records: give their encoding")
    size = encoding.size
    model = RecordVAE(
        input_shape=(size,),
        latent=latent,
        encoder=Sequential(
            Dense(size, 64, activation="tanh"),
            Dense(64, 2 * latent),  # mean and log-variance
        ),
        decoder=Sequential(
            Dense(latent, 64, activation="tanh"),
            Dense(64, size),  # numbers, and the logits of words
        ),
        loss=MixedLoss(numeric=len(encoding.numeric), groups=encoding.groups),
        encoding=encoding,
    )
    return Recipe(model, Adam(lr=2e-3), batch_size=64, epochs=40)
