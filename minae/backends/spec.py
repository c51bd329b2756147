"""The contract: every operation that a backend implements, with its equation, shapes and rules.

A backend is a package with one function for each method of `Backend`, under the same name with
the same parameters. Nothing else is called on arrays by layers, losses, optimizers or models.

Rules that hold for every operation
- Floating arrays are float32 or float64, all of one dtype in a call, unless stated otherwise.
- Inputs are never written. Results go into the arrays given by keyword (`out=`, `dx=`, ...),
  which are overwritten; accumulation happens only where `accumulate=True` asks for it.
- Inputs may have any strides. Outputs are C-contiguous, except that the mean/log-variance halves
  of one (N, 2Z) array may be given where stated. An output never overlaps an input, except where
  "in place" is stated.
- Nothing is allocated once an operation has run with the same shapes: scratch space is kept.
- Numbers nearer to zero than the smallest normal one, 1.2e-38 in float32, may be taken as zero.
- What changes from step to step (`step`, `lr`, loss values) is an array of shape (1,), never a
  Python number, so that a recorded step can be replayed.
- Shapes are checked by the layers, once; operations trust their arguments.

Symbols: N batch, D elements of a sample, C/K input/output channels, H×W image, KH×KW kernel,
S stride, P padding, L = OH·OW output positions, G groups, Z latent size. `dy` is the loss
gradient with respect to `y`.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Pair: TypeAlias = tuple[int, int]

STRIP = 8  # columns
ACTIVATIONS = ("identity", "relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus")


class Backend(Protocol):
    """The operations of one backend. A backend is a module; `self` is not part of the contract."""

    name: str

    # ---------------------------------------------------------------- arrays.py
    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Uninitialised array on the device. Called when caches are made, never in a step."""

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Array of zeros on the device."""

    def asarray(self, x: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> Array:
        """Host array (or anything NumPy converts) to a C-contiguous device array."""

    def to_numpy(self, x: Array) -> Array:
        """Device array to a host array of its own (always a copy); waits for the device."""

    def copy(self, x: Array, *, out: Array) -> None:
        """out = x, any strides on either side."""

    def add(self, a: Array, b: Array, *, out: Array) -> None:
        """out = a + b, same shapes, any dtype. In place allowed."""

    def set_threads(self, threads: int) -> None:
        """Bound the threads that kernels and BLAS use from now on (CPU backends)."""

    def set_tf32(self, allowed: bool) -> None:
        """Whether matrix products (not convolutions) of float32 may round their factors to TF32, 10
        bits after the point, from now on. Not unless it is asked for; a step that was recorded
        before stays as it is. Raises MinaeError where the device has no TF32: on a processor, and
        on a GPU below sm_80.
        """

    def device_name(self) -> str:
        """What the arrays live on, in words: the processor or card."""

    def record(self, run: Callable[[], None]) -> Callable[[], None]:
        """Do run() once, and return a function that does the same again with the same arrays.

        That may be run itself, a program of its kernels, or a CUDA graph. `run` may do nothing but
        call operations: numbers and arrays are later those of this time, and what changes from step
        to step must lie in arrays; it must not wait for the device (`to_numpy`). Two kinds of
        arrays may be left unwritten. Several operations may be done by one kernel, or a batch
        gathered as the bytes that it is made of: then one that they write, and that no other
        operation of `run` is given. And arrays made by `empty`, which `run` writes first and only
        reads last, may lie where others do that are not needed at the same time.
        """

    # ---------------------------------------------------------------- dense.py
    def matmul(
        self,
        a: Array,
        b: Array,
        *,
        out: Array,
        transpose_a: bool = False,
        transpose_b: bool = False,
    ) -> None:
        """out = op(a) @ op(b), op(x) = xᵀ where asked.

        a: (M, Q) or, transposed, (Q, M);  b: (Q, R) or, transposed, (R, Q);  out: (M, R).
        """

    # ---------------------------------------------------------------- sparse.py
    # A batch x (N, D): samples `rows` of a data set that is mostly zeros. Its columns are taken in
    # strips of STRIP, and of each sample m of the set it is known in which strips it is not zero:
    # bit s % 64 of strips[m, s // 64] is set if sample m has strip s, columns s·STRIP and on.
    # m[n,d] = 1 if sample rows[n] has strip d // STRIP, else 0. x may be read where m is 0, or not.
    # strips: uint64 (M, ⌈⌈D/STRIP⌉/64⌉);  rows: int64 (N,).
    def sparse_pays(self, operation: str, samples: int, features: int, density: float) -> bool:
        """Whether "sparse_matmul" or "sparse_weight_gradient" takes less time here than the dense
        product, for N samples, K features and this share of strips."""

    def sparse_matmul(self, strips: Array, rows: Array, x: Array, w: Array, *, out: Array) -> None:
        """out = (x ⊙ m) wᵀ. w: (K, D);  out: (N, K)."""

    def sparse_weight_gradient(
        self, strips: Array, rows: Array, x: Array, dy: Array, *, out: Array
    ) -> None:
        """out = dyᵀ (x ⊙ m). dy: (N, K);  out: (K, D)."""

    # ---------------------------------------------------------------- activations.py
    def bias_activation_forward(
        self, x: Array, b: Array | None, activation: str, slope: float, *, out: Array
    ) -> None:
        """out = f(x + b), b added along axis 1. In place allowed (out is x).

        x, out: (N, K) or (N, K, H, W);  b: (K,), or (N, K) for one bias a sample, or None.
        f is one of ACTIVATIONS; `slope` is the slope of leaky_relu for x <= 0 and the alpha of elu,
        and is ignored by the others. softplus is max(x, 0) + log1p(exp(-|x|)). Every f makes NaN of
        NaN, relu too: a run that diverged is to be seen.
        """

    def bias_activation_backward(
        self,
        dy: Array,
        y: Array,
        activation: str,
        slope: float,
        *,
        dx: Array,
        db: Array | None,
    ) -> None:
        """dx = dy ⊙ f'(x) with f' written in terms of the output y = f(x + b); db sums dx.

        f': identity 1; relu [y > 0]; leaky_relu 1 if y > 0 else slope; elu 1 if y > 0 else
        y + slope; sigmoid y(1 - y); tanh 1 - y²; softplus 1 - exp(-y), computed as
        -expm1(-y), which keeps the digits of a small y. slope >= 0. A NaN y is not > 0:
        relu gives 0 there and leaky_relu slope · dy, the others NaN (identity dy).
        dy, y, dx: (N, K) or (N, K, H, W). In place allowed (dx is dy).
        db: (K,) sums dx over N, H, W; (N, K) sums over H, W; None skips it.
        """

    def bias_activation_double_backward(
        self,
        dv: Array,
        u: Array,
        y: Array,
        activation: str,
        slope: float,
        *,
        dy: Array,
        accumulate: bool = False,
    ) -> None:
        """The gradient by y of Σ dv ⊙ v, where v = u ⊙ f'(x) is what bias_activation_backward makes
        of u: dy = dv ⊙ u ⊙ f'_y, added to what is there if asked.

        f'_y is the derivative by y of f' as written there: identity, relu and leaky_relu 0; elu 0
        if y > 0 else 1; sigmoid 1 - 2y; tanh -2y; softplus exp(-y). (f'' = f'_y f'.)
        dv, u, y, dy: (N, K).
        """

    # ---------------------------------------------------------------- contractive.py
    def contractive_penalty(
        self,
        y: Array,
        w: Array,
        activation: str,
        slope: float,
        scale: float,
        *,
        value: Array,
        dy: Array | None,
        dw: Array | None,
    ) -> None:
        """scale · Σ_n ‖∂y[n]/∂x[n]‖²_F = scale Σ_{n,k} f'(y[n,k])² ‖w[k]‖² for y = f(x wᵀ + b), and
        its gradients by y and, with y held, by w:

        dy[n,k] = 2 scale f' f'_y ‖w[k]‖²;  dw[k] = 2 scale w[k] Σ_n f'(y[n,k])².
        y, dy: (N, K);  w, dw: (K, D);  value: float64 (1,). Both gradients are given, or both None.
        """

    # ---------------------------------------------------------------- conv2d.py
    def conv2d_forward(
        self,
        x: Array,
        w: Array,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
        *,
        out: Array,
    ) -> None:
        """out[n,k,i,j] = Σ_{c,a,b} w[k,c,a,b] x[n, c + group, i·SH + a·DH - PH, j·SW + b·DW - PW].

        Cross-correlation, zero padding. x: (N, C, H, W);  w: (K, C/G, KH, KW);  out: (N, K, OH, OW)
        with OH = ⌊(H + 2PH - DH(KH - 1) - 1) / SH⌋ + 1. Output channel k reads the C/G input
        channels of group k // (K/G).
        """

    def conv2d_input_gradient(
        self,
        dy: Array,
        w: Array,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
        *,
        out: Array,
    ) -> None:
        """The adjoint of conv2d_forward in x: <conv(x), dy> = <x, out> for all x.

        dy: (N, K, OH, OW);  w: (K, C/G, KH, KW);  out: (N, C, H, W), every element written (rows
        and columns that no output position reads are zero). It is also the forward pass of a
        transposed convolution, whose output_padding is settled by the shape of `out`.
        """

    def conv2d_weight_gradient(
        self,
        x: Array,
        dy: Array,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
        *,
        out: Array,
    ) -> None:
        """out[k,c,a,b] = Σ_{n,i,j} dy[n,k,i,j] x[n, c + group, i·SH + a·DH - PH, j·SW + b·DW - PW].

        x: (N, C, H, W);  dy: (N, K, OH, OW);  out: (K, C/G, KH, KW).
        """

    # ---------------------------------------------------------------- class_bias.py
    def class_bias_forward(self, w: Array, *, out: Array) -> None:
        """out[k,c] = Σ_{a,b} w[k,c,a,b]: what a constant plane of ones in channel c adds to an
        unpadded convolution's output k. w: (K, classes, KH, KW);  out: (K, classes)."""

    def class_bias_backward(self, dtable: Array, *, out: Array) -> None:
        """out[k,c,a,b] = dtable[k,c]. dtable: (K, classes);  out: (K, classes, KH, KW)."""

    # ---------------------------------------------------------------- pooling.py
    def max_pool2d_forward(
        self, x: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array, argmax: Array
    ) -> None:
        """out = max over each KH×KW window; padding counts as -∞ (P <= K/2), and never wins.

        x: (N, C, H, W);  out: (N, C, OH, OW), OH = ⌊(H + 2PH - KH) / SH⌋ + 1;
        argmax: int32, shape of out, the winner's place in the window a·KW + b, the first on ties:
        where all pixels are -∞, the first one that is no padding. The first NaN wins over numbers.
        """

    def max_pool2d_backward(
        self, dy: Array, argmax: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
    ) -> None:
        """out = 0, then each dy is added to its winner. dy: (N, C, OH, OW);  out: (N, C, H, W)."""

    def avg_pool2d_forward(
        self, x: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
    ) -> None:
        """out = (sum over the window, padding as 0) / (KH·KW). Shapes as in max_pool2d_forward."""

    def avg_pool2d_backward(
        self, dy: Array, kernel: Pair, stride: Pair, padding: Pair, *, out: Array
    ) -> None:
        """out = sums of dy / (KH·KW) over windows. dy: (N, C, OH, OW);  out: (N, C, H, W)."""

    def upsample2d_forward(self, x: Array, scale: Pair, *, out: Array) -> None:
        """Nearest neighbour: out[n,c,i,j] = x[n,c, i // SH, j // SW]. out: (N, C, H·SH, W·SW)."""

    def upsample2d_backward(self, dy: Array, scale: Pair, *, out: Array) -> None:
        """out[n,c,i,j] = sum of dy over the SH×SW block of (i, j). out: (N, C, H, W)."""

    # ---------------------------------------------------------------- batch_norm.py
    def batch_norm_forward(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        running_mean: Array,
        running_var: Array,
        momentum: float,
        eps: float,
        *,
        out: Array,
        mean: Array,
        inv_std: Array,
    ) -> None:
        """Training statistics: out = gamma (x - mean) · inv_std + beta, per channel.

        x, out: (N, C) or (N, C, H, W); the rest (C,). mean and the biased variance are taken over
        N, H, W; inv_std = (var + eps)^(-1/2). running_mean and running_var are updated in place:
        running = (1 - momentum) running + momentum · batch statistic, with the unbiased variance
        (divisor M - 1, M = N·H·W > 1), as in PyTorch. mean and inv_std are kept for backward.
        """

    def batch_norm_inference(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        running_mean: Array,
        running_var: Array,
        eps: float,
        *,
        out: Array,
    ) -> None:
        """out = gamma (x - running_mean) (running_var + eps)^(-1/2) + beta. Shapes as above."""

    def batch_norm_backward(
        self,
        dy: Array,
        x: Array,
        gamma: Array,
        mean: Array,
        inv_std: Array,
        *,
        dx: Array,
        dgamma: Array,
        dbeta: Array,
    ) -> None:
        """Gradients of batch_norm_forward (training statistics); x̂ = (x - mean) inv_std.

        dbeta = Σ dy;  dgamma = Σ dy x̂;  dx = gamma inv_std (dy - dbeta/M - x̂ dgamma/M).
        """

    # ---------------------------------------------------------------- dropout.py
    def dropout_forward(self, x: Array, mask: Array, keep: float, *, out: Array) -> None:
        """out = x ⊙ mask / keep. mask: 0 or 1, dtype and shape of x. In place allowed."""

    def dropout_backward(self, dy: Array, mask: Array, keep: float, *, out: Array) -> None:
        """out = dy ⊙ mask / keep. In place allowed."""

    # ---------------------------------------------------------------- losses.py
    # Every loss writes value[0] = scale · Σ over all elements (value: float64, shape (1,)) and,
    # unless None is given for it, the gradient of value[0]. `scale` carries the reduction: 1/(N·D)
    # for a mean, 1/N for nats an image, 1 for a sum.
    def bce_with_logits(
        self, logits: Array, t: Array, scale: float, *, value: Array, dlogits: Array | None
    ) -> None:
        """Σ max(a, 0) - a t + log1p(exp(-|a|)), the BCE of p = σ(a);  dlogits = scale (σ(a) - t).

        logits, t, dlogits: same shape, any rank. t in [0, 1]. In place allowed (dlogits is logits).
        """

    def bce(self, p: Array, t: Array, scale: float, *, value: Array, dp: Array | None) -> None:
        """Σ -(t log p + (1 - t) log(1 - p));  dp = scale (p - t) / (p (1 - p)).

        As in PyTorch, each logarithm is held at -100 or above and p (1 - p) at 1e-12 or above.
        """

    def mse(self, y: Array, t: Array, scale: float, *, value: Array, dy: Array | None) -> None:
        """Σ (y - t)²;  dy = 2 scale (y - t)."""

    def l1(self, y: Array, t: Array, scale: float, *, value: Array, dy: Array | None) -> None:
        """Σ |y - t|;  dy = scale · sign(y - t), with sign(0) = 0."""

    # ---------------------------------------------------------------- gaussian_kl.py
    def gaussian_kl(
        self,
        mean: Array,
        log_var: Array,
        scale: float,
        *,
        value: Array,
        dmean: Array | None,
        dlog_var: Array | None,
    ) -> None:
        """KL(N(mean, exp(log_var)) ‖ N(0, 1)) = ½ Σ (mean² + exp(log_var) - 1 - log_var).

        dmean = scale · mean;  dlog_var = scale · ½ (exp(log_var) - 1). All (N, Z), halves of
        (N, 2Z) allowed everywhere. Both gradients are given, or both are None.
        """

    # ---------------------------------------------------------------- softmax_cross_entropy.py
    def softmax_cross_entropy(
        self, logits: Array, labels: Array, scale: float, *, value: Array, dlogits: Array | None
    ) -> None:
        """Σ_n logsumexp(logits[n]) - logits[n, labels[n]];  dlogits = scale (softmax - one-hot).

        logits: (N, classes);  labels: int64 (N,).
        """

    # ---------------------------------------------------------------- mixed_loss.py
    # Samples of C channels at L places: the first `numeric` channels are numbers, the others fall
    # into groups of these sizes, each one-hot (or all 0 where missing). C = numeric + Σ groups.
    def mixed_loss(
        self,
        y: Array,
        t: Array,
        numeric: int,
        groups: tuple[int, ...],
        scale: float,
        *,
        value: Array,
        dy: Array | None,
    ) -> None:
        """value = scale Σ_{n,l} (½ Σ_{d<numeric} (y - t)² + Σ_g (T logsumexp(y_g) - Σ_{d∈g} t y)),
        T = Σ_{d∈g} t: normal numbers of variance 1 less ½ log 2π, and words by their logits.

        dy = scale (y - t) of a number, scale (T softmax(y_g) - t) in a group. y, t, dy: (N, C, L).
        """

    def mixed_output(self, y: Array, numeric: int, groups: tuple[int, ...], *, out: Array) -> None:
        """out = y of a number, softmax(y_g) in a group. y, out: (N, C, L)."""

    # ---------------------------------------------------------------- reparameterization.py
    def reparameterize_forward(
        self, mean: Array, log_var: Array, eps: Array, *, out: Array
    ) -> None:
        """out = mean + exp(½ log_var) ⊙ eps. All (N, Z); mean, log_var may be halves of (N, 2Z)."""

    def reparameterize_backward(
        self,
        dz: Array,
        log_var: Array,
        eps: Array,
        *,
        dmean: Array,
        dlog_var: Array,
        accumulate: bool = False,
    ) -> None:
        """dmean = dz;  dlog_var = ½ dz ⊙ eps ⊙ exp(½ log_var); added to what is there if asked.

        All (N, Z); log_var, dmean, dlog_var may be halves of (N, 2Z).
        """

    # ---------------------------------------------------------------- iwae.py
    # k draws z of the latent code of each sample; the importance weight of one is
    # w = p(x|z) p(z) / q(z|x), with Bernoulli pixels and a normal q of variance exp(log_var).
    def importance_weights_forward(
        self, logits: Array, t: Array, z: Array, eps: Array, log_var: Array, *, out: Array
    ) -> None:
        """out[i,n] = log w = -Σ_d bce(logits[i,n,d], t[n,d])
        - ½ Σ_j (z[i,n,j]² - eps[i,n,j]² - log_var[n,j]).

        logits: (k, N, D);  t: (N, D) in [0, 1];  z, eps: (k, N, Z), z = mean + exp(½ log_var) eps;
        log_var: (N, Z);  out: (k, N).
        """

    def importance_weights_backward(
        self, weights: Array, logits: Array, t: Array, z: Array, *, dlogits: Array, dz: Array
    ) -> None:
        """Gradients of -Σ weights ⊙ log w: dlogits = weights (σ(logits) - t), dz = weights z.

        weights: (k, N). In place allowed (dlogits is logits). That by log_var is -½ Σ_i weights.
        """

    def importance_bound(
        self, log_w: Array, scale: float, *, value: Array, weights: Array | None
    ) -> None:
        """-scale Σ_n log (1/k Σ_i exp(log_w[i,n]));  weights = -(gradient by log_w)
        = scale · softmax over i.

        log_w, weights: (k, N);  value: float64 (1,).
        """

    # ---------------------------------------------------------------- sgd.py
    def sgd(
        self,
        w: Array,
        dw: Array,
        velocity: Array,
        lr: Array,
        momentum: float,
        weight_decay: float,
        nesterov: bool,
    ) -> None:
        """g = dw + weight_decay w;  velocity = momentum velocity + g;
        w -= lr (g + momentum velocity if nesterov else velocity).

        w, velocity: flat (P,), updated in place;  lr: float64 (1,).
        """

    # ---------------------------------------------------------------- adam.py
    def adam(
        self,
        w: Array,
        dw: Array,
        m: Array,
        v: Array,
        step: Array,
        lr: Array,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
    ) -> None:
        """g = dw + weight_decay w;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g²;
        w -= lr (m / (1 - beta1^t)) / (√(v / (1 - beta2^t)) + eps), t = step[0] + 1.

        w, m, v: flat (P,), updated in place;  step: int64 (1,), steps done before this one;
        lr: float64 (1,).
        """

    def adamw(
        self,
        w: Array,
        dw: Array,
        m: Array,
        v: Array,
        step: Array,
        lr: Array,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
    ) -> None:
        """adam with decoupled decay: first w -= lr weight_decay w, then adam with g = dw."""

    # ---------------------------------------------------------------- rmsprop.py
    def rmsprop(
        self,
        w: Array,
        dw: Array,
        v: Array,
        lr: Array,
        alpha: float,
        eps: float,
        weight_decay: float,
    ) -> None:
        """g = dw + weight_decay w;  v = alpha v + (1 - alpha) g²;  w -= lr g / (√v + eps)."""

    # ---------------------------------------------------------------- clip.py
    def clip_by_norm(self, dw: Array, max_norm: float, *, norm: Array) -> None:
        """norm[0] = ‖dw‖₂ (float64, before clipping);  dw *= min(1, max_norm / (norm + 1e-6))."""

    # ---------------------------------------------------------------- gather.py
    def gather(
        self, source: Array, indices: Array, scale: float, shift: float, *, out: Array
    ) -> None:
        """out[n] = scale · source[indices[n]] + shift, converted to out's dtype first.

        source: (M, D) uint8, float32 or float64;  indices: int64 (N,);  out: (N, D) floating.
        """

    def take(self, source: Array, indices: Array, *, out: Array) -> None:
        """out[n] = source[indices[n]] for integer labels. source: int64 (M,);  out: int64 (N,)."""

    def one_hot(self, labels: Array, *, out: Array) -> None:
        """out[n, c] = 1 if c == labels[n] else 0. labels: int64 (N,);  out: (N, classes)."""

    def binarize(self, x: Array, u: Array, *, out: Array) -> None:
        """out = 1 where u < x, else 0: black and white pixels of grey ones x, u uniform in (0, 1).

        All of one shape and dtype. In place allowed (out is u).
        """

    def argsort(self, keys: Array, *, out: Array) -> None:
        """out = the rows of keys in ascending order of keys[:,0] · 2³² + keys[:,1]; equal ones stay
        in order. keys: uint32 (N, 2), N < 2³¹;  out: int64 (N,). Fast where keys are random; used
        once an epoch, it may allocate."""

    # ---------------------------------------------------------------- philox.py
    # Philox4x32-10 (Salmon et al. 2011). Element (n, d) of a draw is word d % 4 of the block with
    #   key     = (seed & 0xffffffff, seed >> 32)
    #   counter = (d // 4, rows[n], step[0], purpose), each modulo 2³²
    # so it depends on neither backend, thread count, nor on how samples are split into batches.
    # seed: 0 <= seed < 2⁶⁴;  purpose: 0 <= purpose < 2³² (minae.random);  step: int64 (1,);
    # rows: int64 (N,), the sample's index in its data set;  out: (N, D), contiguous.
    def random_uint32(
        self, seed: int, purpose: int, step: Array, rows: Array, *, out: Array
    ) -> None:
        """out: uint32 (N, D), the integer stream itself."""

    def random_uniform(
        self, seed: int, purpose: int, step: Array, rows: Array, *, out: Array
    ) -> None:
        """u = ((x >> 9) + ½) · 2⁻²³, x from random_uint32: in the open (0, 1), exact in float32
        and the same number in float64."""

    def random_normal(
        self, seed: int, purpose: int, step: Array, rows: Array, *, out: Array
    ) -> None:
        """Box-Muller on pairs of one block, in double precision, rounded once to out's dtype:

        with u from random_uniform, for even d: out[n,d] = √(-2 ln u[n,d]) cos(2π u[n,d+1]) and
        out[n,d+1] = √(-2 ln u[n,d]) sin(2π u[n,d+1]). (For odd D the last pair's sine is dropped.)
        """

    def random_bernoulli(
        self, seed: int, purpose: int, step: Array, rows: Array, keep: float, *, out: Array
    ) -> None:
        """out = 1 where u < keep, else 0 (float dtype). Compared in float64."""


OPERATIONS = tuple(
    name for name, member in vars(Backend).items() if callable(member) and not name.startswith("_")
)
