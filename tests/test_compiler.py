"""How kernels are compiled: what is made machine code, what is kept on disk, what is collected."""

import gc
import json
import os
import subprocess
import sys

import pytest
from numba.core import event
from numba.core.errors import TypingError

from minae.backends.cpu_numba.compiler import compiled

ONE_KERNEL = """
import json
import sys
import numpy as np
from numba.core import codegen, event
from minae import get_backend
from minae.backends.cpu_numba.threads import share


class Names(event.Listener):
    def __init__(self):
        self.found = []

    def on_start(self, event):
        self.found.append(event.data["dispatcher"].py_func.__name__)

    def on_end(self, event):
        pass


def finalize(library, go_on=codegen.JITCodeLibrary._finalize_specific):
    machine_code.append(library.name)
    go_on(library)


machine_code, names = [], Names()
codegen.JITCodeLibrary._finalize_specific = finalize
event.register("numba:compile", names)
y = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
get_backend("numba").bias_activation_forward(y, np.ones(3, np.float32), "relu", 0.0, out=y)
by_kernel = list(names.found)
called_by_python = share(1, 2, 10)
modules = [name for name in sys.modules if name.startswith("numba.")]
print(json.dumps([y.tolist(), called_by_python, by_kernel, names.found, machine_code, modules]))
"""
NO_FOLDER = """
from numba.core import caching

def refuse(locator):
    raise PermissionError("read-only")

caching._CacheLocator.ensure_cache_path = refuse
"""
Y = [[0.0, pytest.approx(0.4), pytest.approx(0.8)], [pytest.approx(1.2), pytest.approx(1.6), 2.0]]


def one_kernel(folder, before=""):
    """(y, what Python got, names compiled for the kernel, all of them, those of machine code,
    Numba's modules that were loaded)"""
    command = [sys.executable, "-c", before + ONE_KERNEL]
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def kept(folder):
    return {file.name.split("-")[0] for file in folder.rglob("*.nbi")}


def test_what_a_kernel_calls_is_compiled_without_machine_code_and_kept_within_it(tmp_path):
    y, called_by_python, by_kernel, _, machine_code, _ = one_kernel(tmp_path)
    assert y == Y
    assert {"_relu", "share", "spread"} <= set(by_kernel)
    assert "_relu" in machine_code
    assert "spread" not in machine_code
    assert kept(tmp_path) == {"activations._relu", "pool._run", "threads.share"}
    # share is called by the kernel, and then by Python, for which it is compiled once more
    assert called_by_python == [5, 10]
    assert machine_code.count("share") == 1

    y, called_by_python, _, names, _, _ = one_kernel(tmp_path)
    assert (y, called_by_python) == (Y, [5, 10])
    assert names == []  # all of it was kept


def test_a_process_that_finds_its_kernels_does_not_make_the_compiler_ready(tmp_path):
    compiler = "numba.np.arrayobj"  # one of forty modules; "nrt" is what Numba compiles for itself
    *_, machine_code, modules = one_kernel(tmp_path)
    assert "nrt" in machine_code and compiler in modules
    *_, machine_code, modules = one_kernel(tmp_path)
    assert set(machine_code) == {"_relu", "_run", "share"}
    assert compiler not in modules


def test_where_no_folder_can_be_written_kernels_are_compiled_anew(tmp_path):
    y, called_by_python, by_kernel, *_ = one_kernel(tmp_path, NO_FOLDER)
    assert (y, called_by_python) == (Y, [5, 10])
    assert "_relu" in by_kernel
    assert kept(tmp_path) == set()


class Collecting(event.Listener):
    """Whether garbage was collected during each of the compiler's passes."""

    def __init__(self):
        self.seen = []

    def on_start(self, event):
        self.seen.append(gc.isenabled())

    def on_end(self, event):
        pass


def function(body):
    """A function of x that is compiled when it is called, and not kept."""
    scope = {}
    exec(f"def f(x): return {body}", scope)
    return compiled(scope["f"])


def test_no_garbage_is_collected_while_a_kernel_is_compiled():
    collecting = Collecting()
    with event.install_listener("numba:run_pass", collecting):
        assert function("x + 1")(1) == 2
    assert collecting.seen
    assert not any(collecting.seen)
    assert gc.isenabled()


def test_garbage_is_collected_after_a_kernel_that_cannot_be_compiled():
    with pytest.raises(TypingError):
        function("x.nothing")(1)
    assert gc.isenabled()


def test_who_collects_no_garbage_need_not_begin_to():
    gc.disable()
    try:
        assert function("x + 2")(1) == 3
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_only_kernels_call_is_refused_to_python():
    """A sentence's end, not the process's."""
    from minae.backends.cpu_numba.vector_math import sigmoid

    for _ in range(2):
        with pytest.raises(TypeError):
            sigmoid(0.5)


OTHER_PROCESSORS = {
    "another name": {"NUMBA_CPU_NAME": "generic"},
    "no AVX": {"NUMBA_ENABLE_AVX": "0"},
    "own features": {"NUMBA_CPU_FEATURES": "+sse4.2"},
}


@pytest.mark.parametrize("settings", OTHER_PROCESSORS.values(), ids=OTHER_PROCESSORS)
def test_what_numba_is_told_of_the_processor_counts(settings, tmp_path):
    """Instructions that it may not use would end the process."""
    program = """
import numpy as np
from minae.backends import get_backend
x, w = np.eye(16, 8, dtype=np.float32), np.ones((4, 8), np.float32)
out = np.zeros((16, 4), np.float32)
strips, rows = np.ones((16, 1), np.uint64), np.arange(16)
get_backend("numba").sparse_matmul(strips, rows, x, w, out=out)
assert (out == x @ w.T).all()
"""
    environment = os.environ | settings | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
