"""exp, log, sigmoid, tanh and their kin in forms that the compiler vectorizes within a loop.

The C library's functions take one number a call; written out as polynomials, the same functions
run on 8 or 16 float32 at once. Each function has two bodies under one name, chosen by the type of
its argument when a kernel is compiled: for float32 a polynomial, for float64 the C library
(float64 serves gradient checks, where accuracy counts and speed does not). `log` and
`cos_sin_turn`, which make the normal random numbers, are polynomials in float64 as well.

Method and coefficients: S. L. Moshier, Cephes Mathematical Library 2.2 (1992), files `expf.c`,
`logf.c`, `log.c` and `sin.c`, https://www.netlib.org/cephes/. Each takes three steps:
- reduce: exp: x = n ln 2 + r, |r| <= ½ ln 2; log: x = 2ᵉ m, √½ <= m < √2; cos: to ⅛ of a turn;
- a minimax polynomial in what is left: r, f = m - 1, or the angle;
- rebuild: 2ⁿ goes into the exponent bits, e ln 2 is added, quarter turns swap cos and sin.
ln 2 is taken as a short number plus a small one, so that n times the short one is exact.

The accuracy stands on the order of operations, so these functions carry their own compiler flags
(no reassociation) into whatever kernel they are inlined in. Largest relative errors against
float64: exp 9e-8, expm1 1.2e-7, log 9e-8, log1p 1.2e-7, sigmoid 2e-7, tanh 1.8e-7, softplus
1.4e-7. NaN gives NaN everywhere: comparisons are so written that NaN falls through.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numba import njit, types
from numba.extending import overload

from minae.backends.cpu_numba.compiler import CALLEE, Function

Float: TypeAlias = Any  # a float32 or float64 number

_OPTIONS: Any = {
    "_nrt": False,
    "fastmath": {"contract"},
    "error_model": "numpy",
    "forceinline": True,
    **CALLEE,
}
_inline: Callable[[Function], Function] = njit(**_OPTIONS)


def _float32(generic: Function) -> Callable[[Function], Function]:
    """Makes the decorated function the body of `generic` for a float32 argument."""

    def register(function: Function) -> Function:
        @overload(generic, jit_options=_OPTIONS)
        def body(x: Float) -> Function:
            return function if x == types.float32 else generic

        return function

    return register


_ZERO, _HALF, _ONE, _TWO, _INF = map(np.float32, (0, 0.5, 1, 2, np.inf))
_LN2_HI, _LN2_LO = map(np.float32, (0.693359375, -2.12194440e-4))
_FRACTION = np.int32(23)  # bits below the exponent of a float32
_BIAS = np.int32(127)  # exponent bits of 1.0

# ------------------------------------------------------------------------------ exp, expm1
_LOG2_E = np.float32(1.44269504088896341)
_TO_INTEGER = np.float32(1.5 * 2**23)  # added to a number it rounds it into the lowest bits
_TO_BIASED = np.float32(1.5 * 2**23 + 127)  # the lowest bits are those of an exponent then
_E0, _E1, _E2, _E3, _E4, _E5 = map(
    np.float32,
    (
        1.9875691500e-4,
        1.3981999507e-3,
        8.3334519073e-3,
        4.1665795894e-2,
        1.6666665459e-1,
        5.0000001201e-1,
    ),
)
_EXP_MAX = np.float32(88.72283)  # e^x is finite up to here
_EXP_MIN = np.float32(-87.33654)  # below, e^x is subnormal and taken as 0
_DECAY_MIN = np.float32(-88.0)  # here n = -127


@_inline
def _reduced_exp(x: Float, to_integer: Float) -> tuple[Float, Any]:
    """(q, n) with e^x = 2ⁿ (1 + q); only the lowest 9 bits of n count. With a larger number than
    _TO_INTEGER, n is as much larger."""
    t = x * _LOG2_E + to_integer
    n = t - to_integer
    r = x - n * _LN2_HI - n * _LN2_LO
    z = r * r
    q = ((_E0 * r + _E1) * z + (_E2 * r + _E3)) * z + (_E4 * r + _E5)  # three deep, not six
    return q * z + r, np.float32(t).view(np.int32)


def exp(x: Float) -> Float:
    """e^x. In float32 0 below -87.33654 and inf above 88.72283, as the format has no number."""
    return math.exp(x)


@_float32(exp)
def _exp(x: Float) -> Float:
    q, n = _reduced_exp(x, _TO_INTEGER)
    y = np.int32(np.float32(_ONE + q).view(np.int32) + (n << _FRACTION)).view(np.float32)
    y = _INF if x > _EXP_MAX else y
    y = _ZERO if x < _EXP_MIN else y
    return y if x == x else x


def decay(x: Float) -> Float:
    """e^-|x|, what sigmoid, softplus and their losses stand on. In float32 0 from |x| = 87.7 on."""
    return math.exp(-abs(x))


@_float32(decay)
def _decay(x: Float) -> Float:
    down = -abs(x)
    q, biased = _reduced_exp(_DECAY_MIN if down < _DECAY_MIN else down, _TO_BIASED)  # n + 127
    scale = np.int32(biased << _FRACTION).view(np.float32)  # 2ⁿ, or 0 for n = -127
    return q * scale + scale


def expm1(x: Float) -> Float:
    """e^x - 1, accurate near 0."""
    return math.expm1(x)


@_float32(expm1)
def _expm1(x: Float) -> Float:
    q, n = _reduced_exp(x, _TO_INTEGER)
    half_scale = np.int32((n + _BIAS - np.int32(1)) << _FRACTION).view(np.float32)  # 2ⁿ⁻¹
    y = (half_scale * q + (half_scale - _HALF)) * _TWO
    y = _INF if x > _EXP_MAX else y
    y = -_ONE if x < _EXP_MIN else y
    return y if x == x else x


# ------------------------------------------------------------------------------ log, log1p
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = map(
    np.float32,
    (
        7.0376836292e-2,
        -1.1514610310e-1,
        1.1676998740e-1,
        -1.2420140846e-1,
        1.4249322787e-1,
        -1.6668057665e-1,
        2.0000714765e-1,
        -2.4999993993e-1,
        3.3333331174e-1,
    ),
)
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_SQRT_TWO_LESS_ONE = np.float32(0.41421356)
_SMALLEST_NORMAL, _TO_NORMAL = map(np.float32, (2.0**-126, 2.0**23))


@_inline
def _exponent(x: Float) -> Any:
    """e with √½ <= 2⁻ᵉ x < √2, for a normal x > 0."""
    return np.int32(np.float32(x).view(np.int32) - _SQRT_HALF_BITS) >> _FRACTION


@_inline
def _scale(x: Float, e: Any) -> Float:
    """2⁻ᵉ x, for e from _exponent."""
    return np.int32(np.float32(x).view(np.int32) - (e << _FRACTION)).view(np.float32)


@_inline
def _log_polynomial(f: Float, e: Float) -> Float:
    """ln(2ᵉ (1 + f))."""
    z = f * f
    p = ((((_L0 * f + _L1) * f + _L2) * f + _L3) * f + _L4) * f + _L5
    p = ((p * f + _L6) * f + _L7) * f + _L8
    return (f + (p * f * z + e * _LN2_LO - _HALF * z)) + e * _LN2_HI


def log(x: Float) -> Float:
    """ln x: -inf for 0, NaN below."""
    return math.log(x)


@_float32(log)
def _log(x: Float) -> Float:
    subnormal = x < _SMALLEST_NORMAL  # in kernels on x86 it counts as 0, see subnormals.py
    w = x * _TO_NORMAL if subnormal else x
    e = _exponent(w)
    y = _log_polynomial(_scale(w, e) - _ONE, np.float32(e - _FRACTION if subnormal else e))
    y = y if x < _INF else x  # inf and NaN
    y = y if x != _ZERO else -_INF
    return np.float32(np.nan) if x < _ZERO else y


def log1p(x: Float) -> Float:
    """ln(1 + x), accurate near 0, for -1 <= x <= 1."""
    return math.log1p(x)


@_float32(log1p)
def _log1p(x: Float) -> Float:
    w = _ONE + x
    lost = x - (w - _ONE)  # by the rounding of w, exactly
    e = _exponent(w)
    inverse = np.int32((_BIAS - e) << _FRACTION).view(np.float32)  # 2⁻ᵉ
    y = _log_polynomial((_scale(w, e) - _ONE) + lost * inverse, np.float32(e))
    return -_INF if x <= -_ONE else y


# ------------------------------------------------------------------------------ activations
@_inline
def sigmoid(x: Float) -> Float:
    """1 / (1 + e⁻ˣ), by way of e^-|x| <= 1, which cannot overflow."""
    one = type(x)(1)
    e = decay(x)
    y = one / (one + e)
    return e * y if x < 0 else y


@_inline
def tanh(x: Float) -> Float:
    """tanh |x| = -t / (t + 2) with t = e^(-2|x|) - 1, and the sign of x."""
    two = type(x)(2)
    t = expm1(-two * abs(x))
    y = t / (t + two)
    return y if x < 0 else -y


def softplus(x: Float) -> Float:
    """ln(1 + e^x) = max(x, 0) + log1p(e^-|x|)."""
    return (x if x > 0 else 0.0) + math.log1p(math.exp(-abs(x)))


@_float32(softplus)
def _softplus(x: Float) -> Float:
    u = decay(x)  # in [0, 1], so that 1 + u = 2ᵉ (1 + f) has e = 0 or 1
    halve = u > _SQRT_TWO_LESS_ONE
    f = _HALF * u - _HALF if halve else u
    return (x if x > _ZERO else _ZERO) + _log_polynomial(f, _ONE if halve else _ZERO)


# ------------------------------------------------------------------------------ in float64
@_inline
def log_float64(x: float) -> float:
    """ln x of a positive normal float64, to 1 ulp."""
    bits = np.float64(x).view(np.int64)
    e = np.int32((bits - np.int64(0x3FE6A09E667F3BCD)) >> 52)  # less the bits of √½
    f = np.int64(bits - (np.int64(e) << 52)).view(np.float64) - 1.0
    z = f * f
    p = 1.01875663804580931796e-4 * f + 4.97494994976747001425e-1
    p = (p * f + 4.70579119878881725854) * f + 1.44989225341610930846e1
    p = (p * f + 1.79368678507819816313e1) * f + 7.70838733755885391666
    q = (f + 1.12873587189167450590e1) * f + 4.52279145837532221105e1
    q = (q * f + 8.29875266912776603211e1) * f + 7.11544750618563894466e1
    q = q * f + 2.31251620126765340583e1
    y = f * (z * (p / q)) - e * 2.121944400546905827679e-4 - 0.5 * z
    return (f + y) + e * 0.693359375


@_inline
def cos_sin_turn(u: float) -> tuple[float, float]:
    """cos 2πu and sin 2πu, 0 <= u <= 1. The nearest quarter turn is split off without rounding."""
    quarter = np.int32(4.0 * u + 0.5)
    x = 2.0 * math.pi * (u - 0.25 * quarter)
    z = x * x
    p = 1.58962301576546568060e-10 * z - 2.50507477628578072866e-8
    p = (p * z + 2.75573136213857245213e-6) * z - 1.98412698295895385996e-4
    p = (p * z + 8.33333333332211858878e-3) * z - 1.66666666666666307295e-1
    sin = x + x * z * p
    p = -1.13585365213876817300e-11 * z + 2.08757008419747316778e-9
    p = (p * z - 2.75573141792967388112e-7) * z + 2.48015872888517045348e-5
    p = (p * z - 1.38888888888730564116e-3) * z + 4.16666666666665929218e-2
    cos = 1.0 - 0.5 * z + z * z * p
    odd = (quarter & 1) != 0
    a, b = (sin, cos) if odd else (cos, sin)
    return (
        -a if quarter == 1 or quarter == 2 else a,
        -b if quarter == 2 or quarter == 3 else b,
    )
