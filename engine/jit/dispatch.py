# mypy: disable-error-code="no-untyped-call"
"""
How kernels are compiled: only what Python calls becomes machine code; what kernels call is linked into it.

numba by itself optimises every kernel with everything it calls, makes machine code of that, and wraps it for Python
and for C; then the caller of that kernel does the same with all of it once more. Here a kernel that is called by a
kernel is a part: it is typed and lowered once to LLVM's language, for argument types without the values of literals,
and no more. A kernel that Python calls is an entry: it links each part that it reaches once, optimises the whole, and
is stored on disk. A cold start takes less than half the time, and one megabyte in place of nineteen.

Kernels neither allocate nor keep an array, so arrays are not counted (`_nrt`): whoever calls from Python holds them
until the call returns. That makes kernels a third faster, and one that allocates is refused when it is compiled.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, BinaryIO, Final, NamedTuple

from llvmlite.binding import Linkage, parse_bitcode
from numba.core import config, types
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    NullCache,
    UserProvidedCacheLocator,
)
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.compiler_machinery import register_pass
from numba.core.dispatcher import Dispatcher
from numba.core.funcdesc import default_mangler
from numba.core.registry import CPUDispatcher
from numba.core.serialize import dumps
from numba.core.typed_passes import NativeLowering

from papertape.engine.jit.cache import KernelTurn, numba_keeps_in, place_in_engine
from papertape.engine.user_code.definition import digest_of

_OPTIONS: Final = {
    "nopython": True,
    "nogil": True,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,
    "_nrt": False,
}


class _PartLibrary(JITCodeLibrary):
    """The code of a part, for whoever links it: neither optimised nor made machine code by itself."""

    def add_llvm_module(self, ll_module: Any) -> None:
        """Take code as it is; the entry optimises it."""
        ll_module.data_layout = self._codegen._data_layout
        self._final_module.link_in(ll_module)

    def finalize(self) -> None:
        """Close the library."""
        self._raise_if_finalized()
        self._finalized = True

    def _get_module_for_linking(self) -> Any:
        """Return the code with everything that it calls: numba code that is not ours links it as it would its own."""
        whole = parse_bitcode(self.alone().as_bitcode())
        for needed in _reached(self, {}):
            part = needed.alone() if isinstance(needed, _PartLibrary) else needed._get_module_for_linking()
            whole.link_in(part, preserve=True)
        return whole

    def alone(self) -> Any:
        """Return the code of this part without what it calls."""
        return super()._get_module_for_linking()


class _Alone(NamedTuple):
    """A part as an entry links it."""

    part: _PartLibrary

    @property
    def _reload_init(self) -> Any:
        return self.part._reload_init

    def _get_module_for_linking(self) -> Any:
        return self.part.alone()


class _EntryLibrary(JITCodeLibrary):
    """The code of an entry, with everything that it reaches."""

    def finalize(self) -> None:
        """Link every part once, then optimise and make machine code."""
        self._linking_libraries = [
            _Alone(library) if isinstance(library, _PartLibrary) else library
            for library in _reached(self, {})
        ]
        super().finalize()

    def _optimize_final_module(self) -> None:
        """
        Optimise an entry with its parts.

        Nobody else calls those, so arguments that none of them reads are not handed over: most of an array's words.
        """
        for function in self._final_module.functions:
            if function.linkage == Linkage.linkonce_odr:
                function.linkage = Linkage.internal
        super()._optimize_final_module()


def _reached(library: Any, found: dict[Any, None]) -> dict[Any, None]:
    """Return the libraries that a library needs, and what those need as far as they have not linked it themselves."""
    for needed in library._linking_libraries:
        if needed not in found:
            found[needed] = None
            if isinstance(needed, _PartLibrary):
                _reached(needed, found)
    return found


def _short_name(name: str, kinds: Any, *, abi_tags: Any = (), uid: int | None = None) -> Any:
    """
    Return a function's name in machine code, with a digest of its types: those of bundles are longer than the code.

    Its number alone is not enough. Each process counts from 1, and of two functions of one name that are loaded from disk only
    the first is linked.
    """
    whole = default_mangler(name, kinds, abi_tags=abi_tags, uid=uid)
    if uid is None:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
    return default_mangler(name, (), abi_tags=(digest, *abi_tags), uid=uid)


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(NativeLowering):
    """Lowering into a library of ours; for a part it is the last thing done."""

    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        """Lower one kernel for one set of argument types."""
        is_part = state.flags.no_cpython_wrapper
        kind = _PartLibrary if is_part else _EntryLibrary
        state.library = kind(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.flags.no_compile = is_part
        context = state.targetctx
        context.mangler = _short_name
        try:
            super().run_pass(state)
        finally:
            vars(context).pop("mangler", None)
        if is_part:
            # Callers find the code by this key, which for an entry is its machine code.
            lowered = state["cr"]._replace(cfunc=object())
            state.targetctx.insert_user_function(lowered.cfunc, lowered.fndesc, [state.library])
            state.reload_init.extend(state.library._reload_init)
            state["cr"] = lowered
        return True


class _KernelCompiler(Compiler):
    """numba's compiler with our lowering."""

    def _compile_bytecode(self) -> Any:
        """
        Compile a function under a number that is no other's.

        One line can make several, with other values in a closure each, and each process counts what it compiles from 1.
        """
        function = self.state.func_id
        if not place_in_engine(function.filename):
            function.unique_id = f"{function.unique_id}_{digest_of(function.func)}"
        return super()._compile_bytecode()

    def define_pipelines(self) -> list[Any]:
        """Return the passes."""
        pipelines: list[Any] = super().define_pipelines()
        for pipeline in pipelines:
            pipeline.passes = [
                (_KernelLowering if step is NativeLowering else step, told) for step, told in pipeline.passes
            ]
            pipeline.finalize()
        return pipelines


class _EnginePlace(UserProvidedCacheLocator):
    """
    Where machine code of the engine lies: by a file's place in it, wherever the engine itself lies.

    The folder is one for a state of the sources, so that every checkout and every environment that has them shares it.
    """

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        """Take a function of a file of the engine."""
        super().__init__(function, file)
        settings: Any = config
        self._cache_path = os.path.join(settings.CACHE_DIR, place_in_engine(file))

    def ensure_cache_path(self) -> None:
        """Make the folder, or raise OSError; numba writes a file for trial each time, of every kernel that is imported."""
        os.makedirs(self._cache_path, exist_ok=True)
        if not os.access(self._cache_path, os.W_OK | os.X_OK):
            raise PermissionError(self._cache_path)

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> Any:
        """Return the place of a function, None for one that is not the engine's."""
        return super().from_function(function, file) if place_in_engine(file) else None


class _Places(CompileResultCacheImpl):
    """What is stored, and where: the engine's own kernels first."""

    _locator_classes = [_EnginePlace, *CompileResultCacheImpl._locator_classes]  # noqa: RUF012 # as numba has it


class _CodeFile(IndexDataCacheFile):
    """
    Machine code that says what it is of: a state of the sources, and argument types.

    numba writes down the name of a file first and the file then. A process that is killed between the two, or one that has
    other sources, leaves what belongs to another state under that name.
    """

    def save(self, key: Any, data: Any) -> None:
        """Keep machine code with what it is of."""
        super().save(key, (self._source_stamp, key, data))

    def load(self, key: Any) -> Any:
        """Return the machine code, None where there is none or it is of something else."""
        found = super().load(key)
        return found[2] if found is not None and found[:2] == (self._source_stamp, key) else None

    @contextlib.contextmanager
    def _open_for_write(self, path: str) -> Iterator[BinaryIO]:
        """Yield a file that has its name only when it is whole, after a power cut as well."""
        with super()._open_for_write(path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())


class _Stored(FunctionCache):
    """
    Machine code on disk, loaded without the compiler.

    numba by itself makes its compiler ready first, with all that it knows of numpy and scipy: half a second and 50 MB,
    for machine code that is complete. The compiler does so by itself once something has to be compiled.

    What is not there is compiled by one process at a time: `turn` has begun when nothing was found. What cannot be read or
    written (a full disk) is compiled as often as it is needed.
    """

    _impl_class = _Places

    def __init__(self, function: Callable[..., Any]) -> None:
        """Find the place of a function's machine code."""
        super().__init__(function)
        stamp = self._cache_file._source_stamp
        self._cache_file = _CodeFile(self._cache_path, self._impl.filename_base, stamp)
        self._definition = ""
        self.turn = KernelTurn(self._cache_file._index_path.removesuffix(".nbi") + ".turn")

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Return the machine code for these argument types, None without any."""
        if not isinstance(self._impl.locator, _EnginePlace):
            self._definition = digest_of(self._py_func)
        found = self._found(signature, target_context)
        if found is None:
            self.turn.take()
            found = self._found(signature, target_context)  # by whoever had the turn before
        return found

    def _index_key(self, signature: Any, codegen: Any) -> Any:
        """
        Return what machine code is of, beside the state of its file.

        numba by itself would go on with what a kernel calls in other files as that was before an edit. Kernels that one line
        makes, with other values in a closure each, have one index: so this is no part of the state of the file.

        Of a closure that holds a kernel numba's own key is another in each process; the definition says what such a kernel does.
        """
        cells = [cell.cell_contents for cell in self._py_func.__closure__ or ()]
        if not any(isinstance(each, Dispatcher) for each in cells):
            return (*super()._index_key(signature, codegen), self._definition)
        others = dumps(tuple(each for each in cells if not isinstance(each, Dispatcher)))
        return (signature, codegen.magic_tuple(), hashlib.sha256(others).hexdigest(), self._definition)

    def _found(self, signature: Any, target_context: Any) -> Any:
        with self._guard_against_spurious_io_errors():
            return self._load_overload(signature, target_context)
        return None

    def _guard_against_spurious_io_errors(self) -> Any:
        """
        Let what the disk refuses be as if there were none; numba does so on Windows alone.

        So is machine code that asks for the globals of a module which nobody can import: of `exec`, or of a file by its path.
        """
        return contextlib.suppress(OSError, ImportError)


class _Part(CPUDispatcher):
    """A kernel as other kernels call it."""

    def add_overload(self, compiled: Any) -> None:
        """Keep what was lowered, out of reach of a call from Python."""
        self.overloads[tuple(compiled.signature.args)] = compiled


class Kernel(CPUDispatcher):
    """A kernel: an entry when Python calls it, and the part of it that other kernels call."""

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        is_inlined: bool = False,
        inline: str = "never",
        **options: Any,
    ) -> None:
        """Take a function; whatever else numba hands over is the same for every kernel."""
        del arguments, options
        super().__init__(
            function, targetoptions={**_OPTIONS, "inline": inline}, pipeline_class=_KernelCompiler
        )
        self._is_inlined = is_inlined

    # Of four hundred kernels a process calls a dozen, and what is on disk has no parts: both are made when they are asked for.
    @cached_property
    def _part(self) -> Any:
        return _Part(
            self.py_func,
            targetoptions={**_OPTIONS, "no_cpython_wrapper": True, "forceinline": self._is_inlined},
            pipeline_class=_KernelCompiler,
        )

    def enable_caching(self) -> None:
        """Keep machine code on disk, in the folder that numba has now."""
        settings: Any = config
        self._folder: str = settings.CACHE_DIR
        del self._cache  # numba's own, which keeps nothing

    @cached_property
    def _cache(self) -> Any:
        try:
            with numba_keeps_in(self._folder):
                return _Stored(self.py_func)
        except RuntimeError:  # a function without a file, typed at a prompt
            return NullCache()

    def compile(self, signature: Any) -> Any:
        """Return what calls the machine code for these argument types, from disk or compiled now."""
        # numba's own lock, for longer: another thread that asks for the same kernel would end a turn that is ours.
        with global_compiler_lock:
            try:
                return super().compile(signature)
            finally:
                if isinstance(self._cache, _Stored):
                    self._cache.turn.end()

    def get_call_template(self, args: Any, kws: Any) -> Any:
        """Return how a kernel calls this one: with any value of a type, not with one value each."""
        part: Any = self._part
        return part.get_call_template(tuple(types.unliteral(kind) for kind in args), kws)

    def get_overload(self, signature: Any) -> Any:
        """Return the key of the code for the argument types of a call from a kernel."""
        part: Any = self._part
        return part.get_overload(signature)
