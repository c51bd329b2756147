"""A recorded step's kernels, bound once and run by one call."""

import copy
import gc
import threading
from functools import partial
from inspect import signature

import numpy as np
import pytest
from comparison import DTYPES, SEEDS, Draw, check, memory
from operations import CASES

from minae import get_backend
from minae.backends.cpu_numba import fusion, jit
from minae.backends.cpu_numba import threads as numba_threads
from minae.backends.cpu_numba.arrays import scratch
from minae.backends.cpu_numba.blas import products
from minae.backends.cpu_numba.jit import ARGUMENT_BYTES, serial
from minae.backends.cpu_numba.program import Kernels, Program
from tests.test_epilogue import done, two_calls
from tests.test_fusion import layer, training_of

NUMBA = get_backend("numba")
PLAIN = {"argsort", "batch_norm_inference", "bias_activation_double_backward", "copy"}
PLAIN |= {"contractive_penalty", "random_uint32"}  # uses one of them


@pytest.fixture(params=[1, 2, 3], ids=["one part", "two parts", "three parts"], autouse=True)
def parts(request, monkeypatch):
    """Even small batches are cut into so many."""
    NUMBA.set_threads(request.param)
    monkeypatch.setattr(numba_threads, "_LEAST", 1)
    yield request.param
    NUMBA.set_threads(1)


class Programmed:
    """Operations done by programs that are written while all arrays hold zeros."""

    def __init__(self):
        self.steps = []

    def __getattr__(self, name):
        function = getattr(NUMBA, name)

        def run(*arguments, **named):
            bound = signature(function).bind(*arguments, **named)
            bound.apply_defaults()
            given = [value for value in bound.arguments.values() if isinstance(value, np.ndarray)]
            memories = {id(memory(x)): memory(x) for x in given}
            values = {i: x.copy() for i, x in memories.items()}
            for x in memories.values():
                x.fill(0)
            written = Program([(function, bound.arguments)])
            for i, x in memories.items():
                x[...] = values[i]
            written()
            self.steps += written.steps

        return run


@pytest.mark.parametrize("name", CASES)
def test_an_operation_in_a_program(name):
    """The arrays' numbers are read when it is run, and all that the operation does is in it."""
    for seed in SEEDS:
        check(Programmed(), name, CASES[name](Draw(np.float32, seed)), np.float32)
    for dtype in DTYPES:
        ops = Programmed()
        draw = Draw(dtype, 0, layouts=("contiguous",), large=True)
        check(ops, name, CASES[name](draw), dtype)
        in_kernels = all(isinstance(step, Kernels) for step in ops.steps)
        assert in_kernels == (name not in PLAIN) or (name == "matmul" and products() is None)


@pytest.mark.parametrize("follows", ["forward", "backward"])
@pytest.mark.parametrize("direction", ["forward", "input gradient"])
def test_what_follows_within_another_kernel(direction, follows):
    """Its arguments live as long as the program."""
    (one,) = fusion.fused(two_calls(direction, "M3's first", 37, follows=follows))
    wanted = [x.copy() for x in done([one])]
    written = Program([one])
    forget_scratch()
    results = [one[1][name] for name in ("out", "dx", "db") if name in one[1]]
    for x in results:
        x.fill(np.nan)
    written()
    for found, value in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(found, value)


def forget_scratch():
    """As where slots grow: what they were before is given back, and used for something else."""
    scratch._buffers.clear()
    scratch._views.clear()
    gc.collect()
    for size in (10, 100, 1000, 10_000, 100_000) * 20:
        np.full(size, np.nan)


def output_layer_call():
    (call,) = fusion.fused(fusion.plain_calls(**layer((70, 40, 30), np.float64, "sigmoid")))
    return call


def test_it_outlives_its_scratch():
    call = output_layer_call()
    results = [call[1][name] for name in ("value", "dx", "dw", "db")]
    written = Program([call])
    written()
    wanted = [x.copy() for x in results]
    forget_scratch()
    for x in results:
        x.fill(np.nan)
    written()
    for found, value in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(found, value)


def test_it_is_written_anew_for_other_parts():
    x, mask, y = np.ones(1000), np.ones(1000), np.empty(1000)
    written = Program([(NUMBA.dropout_forward, {"x": x, "mask": mask, "keep": 0.5, "out": y})])
    for parts in (1, 3, 2):
        NUMBA.set_threads(parts)
        y.fill(0)
        written()
        assert (y == 2).all()
        (step,) = written.steps
        (kernel,) = step.called
        assert kernel.arguments[0] == parts
    before = written.steps
    written()
    assert written.steps is before


def test_another_thread_has_scratch_of_its_own():
    call = output_layer_call()
    written = Program([call])
    mine = scratch("program", (1,), np.uint8)
    assert uses(written, mine)
    results = [call[1][name] for name in ("value", "dx", "dw", "db")]
    written()
    wanted = [x.copy() for x in results]
    for x in results:
        x.fill(np.nan)
    other = threading.Thread(target=written)
    other.start()
    other.join()
    for found, value in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(found, value)
    assert not uses(written, mine)


def uses(program, memory):
    """Whether kernels of a program are given memory from the one that begins with this byte."""
    given = [x for step in program.steps for kernel in step.called for x in kernel.arguments]
    arrays = [x for x in given if isinstance(x, np.ndarray)]
    return any(np.may_share_memory(x, memory.base) for x in arrays)


def test_order_and_what_is_between():
    """Kernels, an operation of NumPy's, kernels: each sees what the one before has left."""
    x, one, y = np.zeros(3), np.ones(3), np.empty((2, 3))
    calls = [
        (NUMBA.add, {"a": x, "b": one, "out": x}),
        (NUMBA.add, {"a": x, "b": x, "out": x}),
        (NUMBA.copy, {"x": x, "out": y[0]}),
        (NUMBA.add, {"a": x, "b": one, "out": x}),
        (NUMBA.copy, {"x": x, "out": y[1]}),
    ]
    written = Program(calls)
    assert [type(step) for step in written.steps] == [Kernels, partial, Kernels, partial]
    assert x.tolist() == [0, 0, 0]
    written()
    assert y.tolist() == [[2, 2, 2], [3, 3, 3]]
    written()
    assert y[0].tolist() == [8, 8, 8]


def test_a_copy_is_written_for_its_own_arrays():
    x, y = np.ones(3), np.zeros(3)
    written = Program([(NUMBA.add, {"a": x, "b": x, "out": y})])
    copied = copy.deepcopy(written)
    copied()
    assert copied.calls[0][1]["out"].tolist() == [2, 2, 2]
    assert y.tolist() == [0, 0, 0]


@pytest.mark.skipif(products() is None, reason="NumPy's BLAS has no products for kernels")
@pytest.mark.parametrize(
    "name", ["vanilla", "deep", "tanh", "latent", "vae", "conv", "cvae", "dropout", "sparse"]
)
def test_recipes(name):
    """One call for all of a step."""
    training = training_of(name, "numba", np.float32)
    (step,) = training.step().replay.steps
    assert isinstance(step, Kernels)


def test_an_error_while_kernels_are_noted():
    with pytest.raises(RuntimeError), jit.noted_kernels():
        raise RuntimeError
    x = np.ones(3)
    NUMBA.add(x, x, out=x)
    assert x.tolist() == [2, 2, 2]


def test_more_arguments_than_there_is_room_for():
    count = ARGUMENT_BYTES // 8 + 1
    names = ", ".join(f"a{i}" for i in range(count))
    scope = {"__name__": __name__}
    exec(compile(f"def many({names}): pass", __file__, "exec"), scope)
    with pytest.raises(Exception, match=f"many take {8 * (count + 1)} of {ARGUMENT_BYTES} bytes"):
        serial(scope["many"])(*range(count))
