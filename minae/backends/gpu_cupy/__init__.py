"""The CuPy backend: CUDA kernels, one file for each of `reference/`; see spec and device.py."""

from minae.backends.gpu_cupy.activations import (
    bias_activation_backward,
    bias_activation_double_backward,
    bias_activation_forward,
)
from minae.backends.gpu_cupy.adam import adam, adamw
from minae.backends.gpu_cupy.arrays import (
    add,
    asarray,
    copy,
    device_name,
    empty,
    record,
    set_threads,
    to_numpy,
    zeros,
)
from minae.backends.gpu_cupy.batch_norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference,
)
from minae.backends.gpu_cupy.blas import set_tf32
from minae.backends.gpu_cupy.class_bias import class_bias_backward, class_bias_forward
from minae.backends.gpu_cupy.clip import clip_by_norm
from minae.backends.gpu_cupy.contractive import contractive_penalty
from minae.backends.gpu_cupy.conv2d import (
    conv2d_forward,
    conv2d_input_gradient,
    conv2d_weight_gradient,
)
from minae.backends.gpu_cupy.dense import matmul
from minae.backends.gpu_cupy.dropout import dropout_backward, dropout_forward
from minae.backends.gpu_cupy.gather import argsort, binarize, gather, one_hot, take
from minae.backends.gpu_cupy.gaussian_kl import gaussian_kl
from minae.backends.gpu_cupy.iwae import (
    importance_bound,
    importance_weights_backward,
    importance_weights_forward,
)
from minae.backends.gpu_cupy.losses import bce, bce_with_logits, l1, mse
from minae.backends.gpu_cupy.mixed_loss import mixed_loss, mixed_output
from minae.backends.gpu_cupy.philox import (
    random_bernoulli,
    random_normal,
    random_uint32,
    random_uniform,
)
from minae.backends.gpu_cupy.pooling import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
    upsample2d_backward,
    upsample2d_forward,
)
from minae.backends.gpu_cupy.reparameterization import (
    reparameterize_backward,
    reparameterize_forward,
)
from minae.backends.gpu_cupy.rmsprop import rmsprop
from minae.backends.gpu_cupy.sgd import sgd
from minae.backends.gpu_cupy.softmax_cross_entropy import softmax_cross_entropy
from minae.backends.gpu_cupy.sparse import sparse_matmul, sparse_pays, sparse_weight_gradient

name: str = "cupy"

__all__ = [
    "adam",
    "adamw",
    "add",
    "argsort",
    "asarray",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_inference",
    "bce",
    "bce_with_logits",
    "bias_activation_backward",
    "bias_activation_double_backward",
    "bias_activation_forward",
    "binarize",
    "class_bias_backward",
    "class_bias_forward",
    "clip_by_norm",
    "contractive_penalty",
    "conv2d_forward",
    "conv2d_input_gradient",
    "conv2d_weight_gradient",
    "copy",
    "device_name",
    "dropout_backward",
    "dropout_forward",
    "empty",
    "gather",
    "gaussian_kl",
    "importance_bound",
    "importance_weights_backward",
    "importance_weights_forward",
    "l1",
    "matmul",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "mixed_loss",
    "mixed_output",
    "mse",
    "name",
    "one_hot",
    "random_bernoulli",
    "random_normal",
    "random_uint32",
    "random_uniform",
    "record",
    "reparameterize_backward",
    "reparameterize_forward",
    "rmsprop",
    "set_tf32",
    "set_threads",
    "sgd",
    "softmax_cross_entropy",
    "sparse_matmul",
    "sparse_pays",
    "sparse_weight_gradient",
    "take",
    "to_numpy",
    "upsample2d_backward",
    "upsample2d_forward",
    "zeros",
]
