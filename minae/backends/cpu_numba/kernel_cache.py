"""Compiled kernels on disk, such that two processes may write them at once and either be killed.

Numba numbers a kernel's files 1, 2, ... and names a file in the kernel's index before it is there:
a process killed in between leaves an index that names an older kernel, for all processes to come,
and two processes may give one number to two kernels. Here a file has a name of its own, and is
written before the index names it.

Numba takes a kernel for unchanged while its own file is. But functions of other files are compiled
into it, so here it is while no file of this backend has changed.

And Numba makes its compiler ready before it loads a kernel, and keeps with a kernel what it takes
to compile others that call it. A process that finds all its kernels here does without: 0.2 s and
45 to 60 MB less, a quarter of what a training takes.
"""

# mypy: allow-untyped-calls

import os
from collections.abc import Callable
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from llvmlite import binding  # type: ignore[import-untyped]
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile

_HERE = Path(__file__).parent


class _CompiledKernel(CompileResultCacheImpl):
    """What is kept of a kernel: what it takes to run it. That is its machine code and, of the
    module that it is made of and that nothing is linked with, the names of its functions; and no
    environments, as Numba calls what an exception is raised with, whose modules would be imported.
    """

    def reduce(self, result: Any) -> Any:
        (name, kind, (code, _)), kernel, *kept, _ = super().reduce(result)
        functions = kernel.llvm_func_name, kernel.llvm_cpython_wrapper_name
        module = "".join(f'define void @"{function}"() {{ ret void }}\n' for function in functions)
        names = binding.parse_assembly(module).as_bitcode()
        return (name, kind, (code, names)), kernel, *kept, ()


class KernelCache(FunctionCache):
    """The cache of a kernel. RuntimeError where no folder can be written."""

    _impl_class = _CompiledKernel

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        locator, name = self._impl.locator, self._impl.filename_base
        stamp = locator.get_source_stamp(), _stamp()
        self._cache_file = _KernelFiles(self._cache_path, name, stamp)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled kernel, if it is here. Numba would make its compiler ready first."""
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


class _KernelFiles(IndexDataCacheFile):
    def save(self, key: Any, data: Any) -> None:
        kind = self._dump((self._source_stamp, key))
        name = self._data_name(int.from_bytes(blake2b(kind, digest_size=8).digest()))
        self._save_data(name, data)
        overloads = self._load_index()
        if not overloads:
            self._remove_all_but(name)  # files of what the kernel was before
        overloads[key] = name
        self._save_index(overloads)

    def _remove_all_but(self, name: str) -> None:
        base, _, _ = self._index_name.rpartition(".")
        for file in os.scandir(self._cache_path):
            if (
                file.name.startswith(f"{base}.")
                and file.name.endswith(".nbc")
                and file.name != name
            ):
                Path(file.path).unlink(missing_ok=True)


@cache
def _stamp() -> tuple[tuple[str, float, int], ...]:
    """When the files of this backend and the contract were changed, and how long they are."""
    files = sorted([*_HERE.glob("*.py"), _HERE.parent / "spec.py"])
    found = [(file.name, file.stat()) for file in files if file.exists()]
    return tuple((name, status.st_mtime, status.st_size) for name, status in found)
