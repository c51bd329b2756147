"""The process that compiles a share of a first step's kernels while this one compiles the rest."""

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numba.core import event
from numba.core.caching import NullCache

from minae.backends.cpu_numba import ahead, recording
from minae.backends.cpu_numba.activations import bias_activation_forward
from tests.test_fusion import training_of

# A process with an empty cache: another one compiles three calls, then this one does them.
THREE_CALLS = """
import json
import numpy as np
from numba.core import event
from minae.backends.cpu_numba import activations, ahead, pool


class Names(event.Listener):
    found = []

    def on_start(self, event):
        self.found.append(event.data["dispatcher"].py_func.__name__)

    def on_end(self, event):
        pass


y, x = np.ones((2, 8), np.float32), np.ones((2, 8), np.float32)
dy, b = np.ones((2, 8), np.float32), np.ones(8, np.float32)
shared = {"activation": "relu", "slope": 0.0}
calls = [
    (activations.bias_activation_forward, {"x": y, "b": b, **shared, "out": y}),
    (activations.bias_activation_forward, {"x": x, "b": b, **shared, "out": y}),
    (activations.bias_activation_backward, {"dy": dy, "y": y, **shared, "dx": dy, "db": b}),
]
helper = ahead._Helper(calls)
helper.start()
code = helper.process.wait()
pool.run(np.zeros(0, np.int64), np.zeros(0, np.int64), 1)  # compiles what runs kernels
event.register("numba:compile", Names())
for function, arguments in calls:
    function(**arguments)
print(json.dumps([code, Names.found, y[0, 0].item(), b[0].item()]))
"""


def test_kernels_of_the_other_process_are_found(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", THREE_CALLS]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    assert json.loads(done.stdout) == [0, [], 2.0, 2.0]


def a(i):
    """An operation."""


def b(i):
    """Another."""


def c(i):
    """A third."""


def read(texts):
    """What the other process makes of them."""
    return [ahead._Unpickler(io.BytesIO(text)).load() for text in texts]


def seconds(calls):
    """By the table, what kernels of these take that have no code in common."""
    groups = {next((g for g in ahead._SECONDS if f.__name__ in g), f) for f, _ in calls}
    return sum(ahead._SECONDS.get(group, ahead._OTHERWISE) for group in groups)


@pytest.mark.parametrize("name", ["vanilla", "deep", "vae", "conv", "cvae"])
def test_shares_end_at_about_the_same_time(name):
    calls = training_of(name, "numba", np.float32).step().replay.calls
    operations = [(named.get("convolve", function), named) for function, named in calls]
    here, there = ahead._shares(operations)
    assert {id(named) for _, named in (*here, *there)} == {id(named) for _, named in calls}
    assert abs(seconds(here) - seconds(there) - ahead._LATE) < 1.0
    assert not {f.__name__ for f, _ in here} & {f.__name__ for f, _ in there}


def test_what_has_code_in_common_is_compiled_by_one_process():
    both = [
        ("conv2d_forward", "conv2d_weight_gradient"),
        ("sparse_matmul", "sparse_weight_gradient"),
    ]
    for names in both:
        calls = [(SimpleNamespace(__name__=name), {}) for name in (*names, "output_layer")]
        shares = [{f.__name__ for f, _ in share} for share in ahead._shares(calls)]
        assert set(names) in shares


def test_like_calls_are_compiled_once():
    x, y = np.ones(3), np.ones(3)
    calls = [(a, {"i": [x, x]}), (a, {"i": [y, y]}), (a, {"i": [x, y]}), (a, {"i": [x, x]})]
    assert len(ahead._described(calls)) == 2


def test_what_no_other_process_can_call_is_left_out():
    calls = [(lambda i: None, {"i": 0}), (a, {"i": 1}), (b, {"i": lambda: None})]
    assert read(ahead._described(calls)) == [(a, {"i": 1})]


def test_a_call_that_fails_does_not_end_it(monkeypatch):
    done = []

    def fails(**named):
        done.append(named)
        raise ValueError

    readers = iter([(fails, {"i": 1}), (fails, {"i": 2})])

    class Reader:
        def __init__(self, file):
            pass

        def load(self):
            try:
                return next(readers)
            except StopIteration:
                raise EOFError from None

    monkeypatch.setattr(ahead, "_Unpickler", Reader)
    monkeypatch.setattr(ahead.sys, "stdin", SimpleNamespace(buffer=None))
    ahead.compile_calls()
    assert done == [{"i": 1}, {"i": 2}]


def test_zeros_are_what_a_kernel_is_compiled_for():
    x = np.ones((4, 6), np.float32)
    read_only = np.ones(3, np.int64)
    read_only.flags.writeable = False
    arrays = [x, x[:, ::2], x.T, x, read_only, np.ones((0, 3)), x[:2], x[::-1, ::-2]]
    ((_, found),) = read(ahead._described([(a, {"i": [*arrays, np.float32(0.5), None, "relu"]})]))
    for there, here in zip(found["i"], arrays, strict=False):
        assert (there.shape, there.dtype, there.strides) == (here.shape, here.dtype, here.strides)
        assert there.flags.c_contiguous == here.flags.c_contiguous
        assert there.flags.writeable == here.flags.writeable
        assert not there.any()
    assert found["i"][0] is found["i"][3]
    assert found["i"][8:] == [0.5, None, "relu"]


def compiling(*caches):
    """Calls of which Numba says that it compiles a kernel with such a cache, and another of the
    other process."""

    def compiled(cache):
        dispatcher = SimpleNamespace(_cache=cache)
        start = event.Event("numba:compile", event.EventStatus.START, {"dispatcher": dispatcher})
        event.broadcast(start)

    return [*((compiled, {"cache": cache}) for cache in caches), (a, {"i": 0})]


@pytest.fixture
def each_call_here(monkeypatch):
    """All calls but the last."""
    monkeypatch.setattr(ahead, "_shares", lambda calls: (calls[:-1], calls[-1:]))


@pytest.fixture
def started(monkeypatch, each_call_here):
    """The processes that were started: each one sleeps, and is not waited for."""
    found = []
    start = subprocess.Popen

    def sleep(command, **options):
        found.append(start([sys.executable, "-c", "import time; time.sleep(600)"], **options))
        return found[-1]

    monkeypatch.setattr(ahead.subprocess, "Popen", sleep)
    monkeypatch.setattr(ahead, "most_parts", lambda: 2)
    monkeypatch.setattr(ahead, "_LONGEST", 0.01)
    return found


def test_one_process_is_started_and_ended(started):
    ahead.compile_kernels(compiling(NullCache()))  # what is in no cache cannot be found there
    assert started == []
    ahead.compile_kernels(compiling("a cache", "a cache"))
    assert len(started) == 1
    assert started[0].poll() is not None


def test_it_is_ended_by_an_error_too(started):
    def interrupted(i):
        assert started[0].poll() is None
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ahead.compile_kernels([*compiling("a cache")[:1], (interrupted, {"i": 0}), (a, {"i": 0})])
    assert started[0].poll() is not None


def test_it_is_waited_for(monkeypatch, each_call_here):
    """What it has left in the cache is found when its share is called."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.3)"])
    monkeypatch.setattr(ahead.subprocess, "Popen", lambda command, **options: process)
    monkeypatch.setattr(ahead, "most_parts", lambda: 2)
    monkeypatch.setattr(ahead, "_LATE", 0.0)
    ahead.compile_kernels(compiling("a cache"))
    assert process.returncode == 0


def test_where_little_was_to_be_compiled_it_is_not_waited_for(monkeypatch, started):
    monkeypatch.setattr(ahead, "_LONGEST", 600.0)
    begin = time.monotonic()
    ahead.compile_kernels(compiling("a cache"))
    assert len(started) == 1
    assert time.monotonic() - begin < ahead._LATE + 10


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        *((ahead, "most_parts", lambda: 1), (sys, "frozen", True), (sys, "executable", "")),
        (sys, "executable", "/usr/bin/blender"),
        (ahead, "_shares", lambda calls: (calls, [])),
    ],
    ids=["one thread", "an application", "no interpreter", "another program", "nothing to do"],
)
def test_none_is_started_on(started, monkeypatch, where, name, value):
    monkeypatch.setattr(where, name, value, raising=False)
    ahead.compile_kernels(compiling("a cache"))
    assert started == []


def test_a_process_that_cannot_be_started_does_no_harm(monkeypatch, each_call_here):
    def refuse(*arguments, **options):
        raise OSError("too many processes")

    monkeypatch.setattr(ahead.subprocess, "Popen", refuse)
    monkeypatch.setattr(ahead, "most_parts", lambda: 2)
    ahead.compile_kernels(compiling("a cache"))


def test_it_reads_no_modules_of_the_folder_it_is_started_in(tmp_path):
    """And entries of sys.path that are no strings, which Python passes over, are passed over."""
    (tmp_path / "random.py").write_text("raise SystemExit('the wrong one')")
    program = "import sys; from pathlib import Path; sys.path.append(Path('x'))" + THREE_CALLS
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "program.py"
    file.write_text(program)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = str(Path(ahead.__file__).parents[3])
    command = [sys.executable, str(file)]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, check=True, text=True
    )
    assert json.loads(done.stdout) == [0, [], 2.0, 2.0]


def test_a_recording_asks_for_it(monkeypatch):
    asked = []
    monkeypatch.setattr(recording, "compile_kernels", lambda calls: asked.extend(calls))
    backend = sys.modules["minae.backends.cpu_numba"]
    y = np.zeros((2, 3))
    recording.record(lambda: backend.bias_activation_forward(y, np.ones(3), "relu", 0.0, out=y))
    assert [function for function, _ in asked] == [bias_activation_forward]
    assert y.tolist() == [[1.0] * 3] * 2
