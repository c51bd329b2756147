"""The CUDA sources: every file compiles for every card that is meant, with NVRTC, without a GPU."""

import ctypes
import importlib.util
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import gpu
import numpy as np
import pytest

import minae

KERNELS = Path(minae.__file__).with_name("backends") / "gpu_cupy" / "kernels"
FILES = sorted(file.stem for file in KERNELS.glob("*.cu"))
WHEELS = ("nvidia.cuda_nvrtc", "nvidia.cu13")  # folders of nvidia-cuda-nvrtc-cu12 and -nvrtc
CARDS = (70, 80, 90, "the newest")
# in float32 nothing is doubled but sums (and the random numbers' and optimizers' constants)
SINGLE = (
    *("activations", "contractive", "conv2d", "dense", "dropout", "gather", "gaussian_kl", "iwae"),
    *("losses", "mixed_loss", "pooling"),
)


def _library():
    for wheel in WHEELS:
        try:
            spec = importlib.util.find_spec(wheel)
        except ModuleNotFoundError:
            continue
        for folder in (spec and spec.submodule_search_locations) or ():
            for file in Path(folder).glob("lib/libnvrtc.so.*"):
                return file
    return None


LIBRARY = _library()
pytestmark = [
    pytest.mark.skipif(LIBRARY is None, reason="pip install nvidia-cuda-nvrtc-cu12: the compiler"),
    pytest.mark.skipif(gpu.problem() is not None, reason=str(gpu.problem())),
]


@cache
def nvrtc():
    return ctypes.CDLL(str(LIBRARY))


@cache
def newest():
    """The newest card that the compiler knows, as 121 for sm_121."""
    count = ctypes.c_int()
    assert nvrtc().nvrtcGetNumSupportedArchs(ctypes.byref(count)) == 0
    known = (ctypes.c_int * count.value)()
    assert nvrtc().nvrtcGetSupportedArchs(known) == 0
    return max(known)


def compiled(file, dtype, architecture):
    """(0 if it compiles, what the compiler says, PTX or the like), as CuPy would have it made."""
    library, program, size = nvrtc(), ctypes.c_void_p(), ctypes.c_size_t()
    source = gpu.device().source(file).encode()
    assert library.nvrtcCreateProgram(ctypes.byref(program), source, None, 0, None, None) == 0
    try:
        options = [*gpu.device().options(dtype), f"--gpu-architecture={architecture}"]
        options += ["-ftz=true", "--device-as-default-execution-space"]  # CuPy's own
        options.append("--diag-suppress=177")  # a file need not use all that common.cuh offers
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        status = library.nvrtcCompileProgram(program, len(options), given)
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
        library.nvrtcGetPTXSize(program, ctypes.byref(size))
        ptx = ctypes.create_string_buffer(size.value)
        library.nvrtcGetPTX(program, ptx)
        return status, log.value.decode(), ptx.value.decode(errors="replace")
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_every_file_compiles(dtype, card):
    """To machine code (sm_), so that the assembler has its say on registers and shared memory."""
    architecture = f"sm_{newest() if card == 'the newest' else card}"
    gpu.backend()  # before there are threads that would both import it
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda file: compiled(file, dtype, architecture), FILES))
    for file, (status, log, _) in zip(FILES, results, strict=True):
        remarks = [line for line in log.splitlines() if "deprecated" not in line and line.strip()]
        assert (status, remarks) == (0, []), f"{file}.cu for {architecture}"


@pytest.mark.parametrize("file", sorted(KERNELS.glob("*.cu*")), ids=lambda file: file.name)
def test_only_comments_have_signs_beyond_ascii(file):
    """CuPy writes a source in the locale's encoding, which may know none; they are left out."""
    code = [line.partition("//")[0] for line in file.read_text(encoding="utf-8").split("\n")]
    assert "".join(code).isascii()
    if file.suffix == ".cu":
        assert gpu.device().source(file.stem).isascii()


def test_a_mistake_is_seen():
    """The check is not of a compiler that says yes to everything."""
    source = gpu.device().source
    try:
        gpu.device().source = lambda file: source(file).replace("int i = element();", "")
        status, log, _ = compiled("dropout", np.float32, "sm_80")
    finally:
        gpu.device().source = source
    assert status != 0 and 'identifier "i" is undefined' in log


@pytest.mark.parametrize("file", SINGLE)
def test_float32_is_not_computed_in_float64(file):
    """A constant like 0.5 without its type would double an expression, at up to 64 times the cost:
    only additions (of sums), the factor of a whole sum and conversions are in double precision."""
    _, _, ptx = compiled(file, np.float32, "compute_80")
    assert ".f32" in ptx
    values = re.findall(r"st\.global\.f64\s+\[.*\], (%fd\d+);", ptx)
    products = re.findall(r"\bmul\S*\.f64\s+(%fd\d+)", ptx)
    assert {*products} <= {*values}
    assert not re.findall(r"\b(?:fma|div|sqrt|ex2)\S*\.f64", ptx)


def test_products_read_shared_memory_16_bytes_at_a_time():
    _, _, ptx = compiled("dense", np.float32, "compute_80")
    assert "ld.shared.v4.f32" in ptx and "ld.shared.f32" not in ptx


def test_convolutions_do_not_divide_at_every_element():
    """A division by what the compiler does not know is some 25 instructions; those that are left
    stand before the loop over terms and after it."""
    _, _, ptx = compiled("conv2d", np.float32, "compute_80")
    for kernel in ptx.split(".visible .entry ")[1:]:
        limit = 60 if "input_gradient" in kernel.split("(")[0] else 25
        assert len(re.findall(r"\b(?:div|rem)\.[su](?:32|64)", kernel)) <= limit


def test_every_file_of_the_column_has_its_kernels():
    """The same names as the other backends' files, beside what they share."""
    columns = {
        name: {file.stem for file in (KERNELS.parent.parent / name).glob("*.py")}
        for name in ("cpu_numpy", "gpu_cupy")
    }
    assert columns["gpu_cupy"] - columns["cpu_numpy"] == {"blas", "device"}
    assert columns["cpu_numpy"] <= columns["gpu_cupy"]
    assert {*FILES} - columns["gpu_cupy"] == {"sums"}
    assert columns["gpu_cupy"] - {*FILES} == {"__init__", "blas", "device"}
