"""overcomplete (M11): 784-1024-784, a code larger than the image: it learns to copy.

Nothing in the loss asks for more than y = x, and nothing in a code this large stands in the way. So
the error is small and says nothing: a digit with half of its pixels blanked comes out with the same
holes, and one upside down as well as any (copies.png). What helps is a smaller code (vanilla), a
damaged input (denoising), a penalty on the code (sparse) or on its Jacobian (contractive).
"""

from minae.layers import Dense
from minae.losses import MSE
from minae.models import Autoencoder
from minae.optim import Adam
from minae.recipes.recipe import Recipe


def recipe(latent: int = 1024) -> Recipe:
    model = Autoencoder(
        input_shape=(784,),
        encoder=Dense(784, latent, activation="leaky_relu", slope=0.1),
        decoder=Dense(latent, 784),
        loss=MSE(reduction="image"),
    )
    return Recipe(model, Adam(lr=1e-3), batch_size=256, epochs=10)
