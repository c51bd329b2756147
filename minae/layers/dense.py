"""Fully connected layer. Derivation: reference/dense.py, reference/activations.py."""

from dataclasses import dataclass, field

from minae.backends.spec import Array
from minae.errors import MinaeError
from minae.init import Initializer, PyTorchDefault
from minae.layers.activation import check_activation
from minae.layers.layer import Batch, Cache, Layer, Parameter, Shape, SparseInput, expect

SPARSE = ("sparse_matmul", "sparse_weight_gradient")


@dataclass(eq=False)
class Dense(Layer):
    """y = f(x wᵀ + b).

    x: (N, in_features);  w: (out_features, in_features);  b: (out_features,);
    y: (N, out_features). f is any of `minae.backends.spec.ACTIVATIONS`.
    Kept for backward: x itself and y (f' is written in terms of y).
    """

    in_features: int
    out_features: int
    activation: str = "identity"
    slope: float = 0.01
    bias: bool = True
    init: Initializer = field(default_factory=PyTorchDefault)
    bias_init: Initializer = field(default_factory=PyTorchDefault)

    w: Array = field(init=False, repr=False)
    dw: Array = field(init=False, repr=False)
    b: Array | None = field(init=False, repr=False, default=None)
    db: Array | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        check_activation(self.activation, self.slope)

    def parameters(self) -> dict[str, Parameter]:
        K, C = self.out_features, self.in_features
        weight = Parameter((K, C), self.init, fan_in=C, fan_out=K)
        bias = Parameter((K,), self.bias_init, fan_in=C, fan_out=K)
        return {"w": weight, "b": bias} if self.bias else {"w": weight}

    def output_shape(self, x_shape: Shape) -> Shape:
        if len(x_shape) != 2 or x_shape[1] != self.in_features:
            raise MinaeError(
                f"Dense({self.in_features}, {self.out_features}) wants inputs of shape "
                f"(N, {self.in_features}), found {x_shape}"
            )
        return (x_shape[0], self.out_features)

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.y = self.empty(cache.y_shape)
        # f'(a) ⊙ dy; for the identity it is dy itself
        cache.da = None if self.activation == "identity" else self.empty(cache.y_shape)
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        cache.x = x
        self.multiply(x, cache)  # y = x wᵀ, (N, K)
        self.ops.bias_activation_forward(
            cache.y, self.bias_forward(cache), self.activation, self.slope, out=cache.y
        )
        return cache.y  # type: ignore[no-any-return]

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        da = dy if cache.da is None else cache.da
        self.ops.bias_activation_backward(
            dy, cache.y, self.activation, self.slope, dx=da, db=self.bias_gradient(cache)
        )
        self.bias_backward(cache)
        self.weight_gradient(da, cache)  # dw = daᵀ x, (K, C)
        if cache.dx is not None:
            self.ops.matmul(da, self.w, out=cache.dx)  # (N, C)
        return cache.dx  # type: ignore[no-any-return]

    def multiply(self, x: Array, cache: Cache) -> None:
        """cache.y = x wᵀ, without the strips of pixels that are zero where that is faster."""
        sparse = self.sparse_input("sparse_matmul", x, cache)
        if sparse is None:
            self.ops.matmul(x, self.w, out=cache.y, transpose_b=True)
        else:
            self.ops.sparse_matmul(sparse.strips.bits, sparse.rows, x, self.w, out=cache.y)

    def weight_gradient(self, da: Array, cache: Cache) -> None:
        """dw = daᵀ x, likewise."""
        sparse = self.sparse_input("sparse_weight_gradient", cache.x, cache)
        if sparse is None:
            self.ops.matmul(da, cache.x, out=self.dw, transpose_a=True)
        else:
            self.ops.sparse_weight_gradient(
                sparse.strips.bits, sparse.rows, cache.x, da, out=self.dw
            )

    def sparse_input(self, operation: str, x: Array, cache: Cache) -> SparseInput | None:
        """What is known of x, if it is the batch's pixels and the backend is faster with that."""
        sparse = cache.batch.sparse
        if sparse is None or sparse.x is not x:
            return None
        if not self.ops.sparse_pays(operation, len(x), self.out_features, sparse.strips.density):
            return None
        return sparse

    def bias_forward(self, cache: Cache) -> Array | None:
        """The bias to add: (K,), or (N, K) where a subclass makes it depend on the sample."""
        return self.b

    def bias_gradient(self, cache: Cache) -> Array | None:
        """Where the gradient of that bias goes."""
        return self.db

    def bias_backward(self, cache: Cache) -> None:
        """What follows from that gradient (nothing for a plain bias)."""
