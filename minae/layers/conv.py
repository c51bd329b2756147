"""Convolution and transposed convolution, 2-D and 1-D.

Three operations serve all four layers: a transposed convolution is the input-gradient of a
convolution, with the roles of x and y exchanged, and 1-D is 2-D of height 1.
Derivations: reference/conv2d.py, reference/conv_transpose2d.py.
"""

from dataclasses import dataclass, field

from minae.backends.spec import Array, Pair
from minae.errors import MinaeError
from minae.init import Initializer, PyTorchDefault
from minae.layers.activation import check_activation
from minae.layers.layer import Batch, Cache, Layer, Parameter, Shape, expect, fans


def pair(value: int | Pair) -> Pair:
    """An extent for (height, width): one number stands for both."""
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


@dataclass(eq=False)
class _Convolution(Layer):
    """What the four layers share: hyperparameters, bias and activation, buffers."""

    in_channels: int
    out_channels: int
    kernel_size: int | Pair
    stride: int | Pair = 1
    padding: int | Pair = 0
    dilation: int | Pair = 1
    groups: int = 1
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
        C, K, G = self.in_channels, self.out_channels, self.groups
        if G < 1 or C % G or K % G:
            raise MinaeError(
                f"{self}: groups must divide in_channels and out_channels, "
                f"found groups={G} for {C} and {K}"
            )
        for name, least in (("kernel_size", 1), ("stride", 1), ("padding", 0), ("dilation", 1)):
            value = pair(getattr(self, name))
            if min(value) < least:
                raise MinaeError(f"{type(self).__name__}: {name} must be >= {least}, found {value}")

    def extents(self) -> tuple[Pair, Pair, Pair, Pair]:
        """(kernel, stride, padding, dilation), each as (height, width)."""
        return pair(self.kernel_size), pair(self.stride), pair(self.padding), pair(self.dilation)

    def geometry(self) -> tuple[Pair, Pair, Pair, int]:
        """(stride, padding, dilation, groups), as the operations take them."""
        _, stride, padding, dilation = self.extents()
        return stride, padding, dilation, self.groups

    def weight_shape(self) -> Shape:
        raise NotImplementedError

    def parameters(self) -> dict[str, Parameter]:
        fan_in, fan_out = fans(self.weight_shape())
        weight = Parameter(self.weight_shape(), self.init, fan_in, fan_out)
        bias = Parameter((self.out_channels,), self.bias_init, fan_in, fan_out)
        return {"w": weight, "b": bias} if self.bias else {"w": weight}

    def output_extent(self, axis: int, size: int) -> int:
        raise NotImplementedError

    def output_shape(self, x_shape: Shape) -> Shape:
        if len(x_shape) != 4 or x_shape[1] != self.in_channels:
            raise MinaeError(
                f"{type(self).__name__}({self.in_channels}, {self.out_channels}, ...) wants inputs "
                f"of shape (N, {self.in_channels}, H, W), found {x_shape}"
            )
        N, _, H, W = x_shape
        OH, OW = self.output_extent(0, H), self.output_extent(1, W)
        if OH < 1 or OW < 1:
            raise MinaeError(
                f"{type(self).__name__}: an input of {H}x{W} gives an output of {OH}x{OW}; "
                f"kernel {self.extents()[0]} and padding {self.extents()[2]} do not fit it"
            )
        return (N, self.out_channels, OH, OW)

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        cache.y = self.empty(cache.y_shape)
        cache.da = None if self.activation == "identity" else self.empty(cache.y_shape)
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        cache.x = x
        self.linear_forward(x, cache.y)
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
        self.linear_backward(cache.x, da, cache.dx)
        return cache.dx  # type: ignore[no-any-return]

    def linear_forward(self, x: Array, y: Array) -> None:
        """y = x convolved with w, before bias and activation."""
        raise NotImplementedError

    def linear_backward(self, x: Array, dy: Array, dx: Array | None) -> None:
        """dw, and dx unless None."""
        raise NotImplementedError

    def bias_forward(self, cache: Cache) -> Array | None:
        """The bias to add: (K,), or (N, K) where a subclass makes it depend on the sample."""
        return self.b

    def bias_gradient(self, cache: Cache) -> Array | None:
        """Where the gradient of that bias goes."""
        return self.db

    def bias_backward(self, cache: Cache) -> None:
        """What follows from that gradient (nothing for a plain bias)."""


@dataclass(eq=False)
class Conv2d(_Convolution):
    """y = f(x ⋆ w + b), cross-correlation as in PyTorch.

    x: (N, C, H, W);  w: (K, C/G, KH, KW);  b: (K,);  y: (N, K, OH, OW),
    OH = ⌊(H + 2P - dilation (KH - 1) - 1) / S⌋ + 1. Kept for backward: x and y.
    """

    def weight_shape(self) -> Shape:
        kernel = self.extents()[0]
        return (self.out_channels, self.in_channels // self.groups, *kernel)

    def output_extent(self, axis: int, size: int) -> int:
        kernel, stride, padding, dilation = (extent[axis] for extent in self.extents())
        return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1

    def linear_forward(self, x: Array, y: Array) -> None:
        self.ops.conv2d_forward(x, self.w, *self.geometry(), out=y)

    def linear_backward(self, x: Array, dy: Array, dx: Array | None) -> None:
        self.ops.conv2d_weight_gradient(x, dy, *self.geometry(), out=self.dw)
        if dx is not None:
            self.ops.conv2d_input_gradient(dy, self.w, *self.geometry(), out=dx)


@dataclass(eq=False)
class ConvTranspose2d(_Convolution):
    """y = f(adjoint of (⋆ w) applied to x, + b), as in PyTorch.

    x: (N, C, H, W);  w: (C, K/G, KH, KW);  b: (K,);  y: (N, K, OH, OW),
    OH = (H - 1) S - 2P + dilation (KH - 1) + output_padding + 1. Kept for backward: x and y.
    """

    output_padding: int | Pair = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for extra, S in zip(self.output_extra(), self.extents()[1], strict=True):
            if not 0 <= extra < S:
                raise MinaeError(
                    f"{type(self).__name__}: output_padding must be smaller than the stride, "
                    f"found {self.output_padding} with stride {self.stride}"
                )

    def output_extra(self) -> Pair:
        """output_padding as (height, width)."""
        return pair(self.output_padding)

    def weight_shape(self) -> Shape:
        kernel = self.extents()[0]
        return (self.in_channels, self.out_channels // self.groups, *kernel)

    def output_extent(self, axis: int, size: int) -> int:
        kernel, stride, padding, dilation = (extent[axis] for extent in self.extents())
        extra = self.output_extra()[axis]
        return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + extra + 1

    def linear_forward(self, x: Array, y: Array) -> None:
        self.ops.conv2d_input_gradient(x, self.w, *self.geometry(), out=y)

    def linear_backward(self, x: Array, dy: Array, dx: Array | None) -> None:
        self.ops.conv2d_weight_gradient(dy, x, *self.geometry(), out=self.dw)
        if dx is not None:
            self.ops.conv2d_forward(dy, self.w, *self.geometry(), out=dx)


class _HeightOne(Layer):
    """Makes a 2-D layer a 1-D one: (N, C, W) is seen as (N, C, 1, W), a kernel KW as (1, KW)."""

    in_channels: int
    out_channels: int
    kernel_size: int
    stride: int
    padding: int
    dilation: int

    def extents(self) -> tuple[Pair, Pair, Pair, Pair]:
        return (1, self.kernel_size), (1, self.stride), (0, self.padding), (1, self.dilation)

    def output_shape(self, x_shape: Shape) -> Shape:
        if len(x_shape) != 3 or x_shape[1] != self.in_channels:
            raise MinaeError(
                f"{type(self).__name__}({self.in_channels}, {self.out_channels}, ...) wants inputs "
                f"of shape (N, {self.in_channels}, W), found {x_shape}"
            )
        N, K, _, OW = super().output_shape(_plane(x_shape))
        return (N, K, OW)

    def new_cache(
        self, x_shape: Shape, batch: Batch | None = None, *, needs_dx: bool = True
    ) -> Cache:
        cache = super().new_cache(x_shape, batch, needs_dx=needs_dx)
        planes = {name: getattr(cache, name) for name in ("y", "da", "dx")}
        cache.plane = Cache(
            x_shape=_plane(x_shape),
            y_shape=_plane(cache.y_shape),
            **{name: None if a is None else a[:, :, None, :] for name, a in planes.items()},
        )
        return cache

    def forward(self, x: Array, cache: Cache) -> Array:
        expect(self, x, cache.x_shape, "x")
        super().forward(x[:, :, None, :], cache.plane)
        return cache.y  # type: ignore[no-any-return]

    def backward(self, dy: Array, cache: Cache) -> Array | None:
        expect(self, dy, cache.y_shape, "dy")
        super().backward(dy[:, :, None, :], cache.plane)
        return cache.dx  # type: ignore[no-any-return]


def _plane(shape: Shape) -> Shape:
    """(N, C, W) as (N, C, 1, W)."""
    N, C, W = shape
    return (N, C, 1, W)


@dataclass(eq=False)
class Conv1d(_HeightOne, Conv2d):
    """Conv2d of height 1. x: (N, C, W);  w: (K, C/G, 1, KW);  y: (N, K, OW)."""

    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1


@dataclass(eq=False)
class ConvTranspose1d(_HeightOne, ConvTranspose2d):
    """ConvTranspose2d of height 1. x: (N, C, W);  w: (C, K/G, 1, KW);  y: (N, K, OW)."""

    kernel_size: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    output_padding: int = 0

    def output_extra(self) -> Pair:
        return (0, self.output_padding)
