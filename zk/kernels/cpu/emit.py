"""Write branch-free 64-bit arithmetic once, as Python expressions, and have it emitted straight into Numba loops.

Why not plain jitted helpers: LLVM inlines those too late for its loop vectoriser, and Numba's own inlining makes
compilation several times slower. An emitted function costs nothing to type and always vectorises.

Numba's on-disk cache does not notice changes of functions emitted from other files: after editing this file or
`arithmetic.py`, delete `zk/kernels/cpu/__pycache__`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic as _intrinsic
from numba.np.arrayobj import populate_array

_I64 = ir.IntType(64)

# Argument types of table kernels: a K table (2, n) whose planes are contiguous, an F table, a word, an index.
K = types.Array(types.uint64, 2, "A")
F = types.Array(types.uint64, 1, "C")
U = types.uint64
N = types.intp

# An intrinsic is called without the typing context that its definition takes; type checkers cannot know.
intrinsic: Any = _intrinsic
kernel: Any = numba.njit(cache=True, nogil=True, error_model="numpy")
inlined: Any = numba.njit(nogil=True, error_model="numpy", inline="always")


def table_kernel(*argument_types: Any) -> Any:
    """Declare a kernel with one fixed signature, compiled (or loaded from the cache) on import.

    The fixed K type covers whole arrays and halves of arrays with one compiled version and without a copy, and lets
    Python ints be passed as words.
    """
    return numba.njit(argument_types, cache=True, nogil=True, error_model="numpy")


class Word:
    """A 64-bit unsigned value, or a vector of them, in a function that is being emitted; it wraps modulo 2^64."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    def _with(self, operation: str, other: Word | int) -> Word:
        operand = self.constant(other).value if isinstance(other, int) else other.value
        return Word(self.builder, getattr(self.builder, operation)(self.value, operand))

    def __add__(self, other: Word | int) -> Word:
        return self._with("add", other)

    def __sub__(self, other: Word | int) -> Word:
        return self._with("sub", other)

    def __mul__(self, other: Word | int) -> Word:
        return self._with("mul", other)

    def __and__(self, other: Word | int) -> Word:
        return self._with("and_", other)

    def __or__(self, other: Word | int) -> Word:
        return self._with("or_", other)

    def __lshift__(self, other: int) -> Word:
        return self._with("shl", other)

    def __rshift__(self, other: int) -> Word:
        return self._with("lshr", other)

    def constant(self, value: int) -> Word:
        """Return a constant for the same function, of the same width."""
        kind = self.value.type
        if isinstance(kind, ir.VectorType):
            return Word(self.builder, ir.Constant(kind, [ir.Constant(_I64, value)] * kind.count))
        return Word(self.builder, ir.Constant(kind, value))

    def if_less(self, other: Word, then: Word, otherwise: Word) -> Word:
        """Return then if self < other else otherwise, without a branch."""
        condition = self.builder.icmp_unsigned("<", self.value, other.value)
        return Word(self.builder, self.builder.select(condition, then.value, otherwise.value))


def emitted(function: Callable[..., Word | tuple[Word, ...]]) -> Any:
    """Make a function of Words callable in Numba kernels with uint64 arguments; it returns uint64 or a tuple."""
    n_results = getattr(function, "n_results", 1)
    result = types.uint64 if n_results == 1 else types.UniTuple(types.uint64, n_results)

    def definition(typingctx, *arguments):  # type: ignore[no-untyped-def]
        if any(argument != types.uint64 for argument in arguments):
            raise numba.errors.TypingError(f"{function.__name__} takes uint64 arguments, got {arguments}")

        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            words = function(*(Word(builder, value) for value in args))
            if isinstance(words, Word):
                return words.value
            return context.make_tuple(builder, signature.return_type, [word.value for word in words])

        return result(*arguments), codegen

    # Numba looks at the signature to lower a call, and handles no *arguments there.
    parameters = inspect.signature(function).parameters.values()
    context = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    definition.__signature__ = inspect.Signature([context, *parameters])  # type: ignore[attr-defined]
    definition.__name__ = definition.__qualname__ = function.__name__
    definition.__doc__ = function.__doc__
    return intrinsic(definition)


def returning(n_results: int) -> Callable[[Any], Any]:
    """Declare how many words a function of Words returns."""

    def declare(function: Any) -> Any:
        function.n_results = n_results
        return function

    return declare


@intrinsic
def plane(typingctx, t, k, start, stop):  # type: ignore[no-untyped-def]
    """Return entries start..stop of plane k of a K table as a contiguous array.

    The caller has checked that planes are contiguous and that 0 <= start, stop <= n; nothing is checked here. The
    result is empty if stop <= start and must not outlive t.
    """
    result = types.Array(types.uint64, 1, "C")

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source = context.make_array(signature.args[0])(context, builder, args[0])
        stride = builder.extract_value(source.strides, 0)
        _, k, start, stop = args
        offset = builder.add(builder.mul(k, stride), builder.shl(start, ir.Constant(_I64, 3)))
        address = builder.gep(builder.bitcast(source.data, ir.IntType(8).as_pointer()), [offset])
        empty = builder.icmp_signed("<", stop, start)
        size = builder.select(empty, ir.Constant(_I64, 0), builder.sub(stop, start))
        out = context.make_array(result)(context, builder)
        word = ir.Constant(_I64, 8)
        data = builder.bitcast(address, out.data.type)
        populate_array(out, data=data, shape=[size], strides=[word], itemsize=word, meminfo=None)
        return out._getvalue()

    return result(t, types.intp, types.intp, types.intp), codegen


@inlined
def planes(t, start, stop):  # type: ignore[no-untyped-def]
    """Return both planes, as plane does."""
    return plane(t, 0, start, stop), plane(t, 1, start, stop)


@intrinsic
def arrays_are_distinct(typingctx):  # type: ignore[no-untyped-def]
    """Promise LLVM that the array arguments of the calling function do not overlap.

    Without it a loop over more than a handful of arrays is not vectorised (too many overlap checks at run time).
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        for argument in builder.function.args:
            # Numba passes an array as meminfo, parent, size, itemsize, data, ...: field 4 is the data pointer.
            if isinstance(argument.type, ir.PointerType) and argument.name.endswith(".4"):
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def widest_vectors(typingctx):  # type: ignore[no-untyped-def]
    """Let LLVM use 512-bit registers in the calling function where the processor has them.

    Its default on many of these processors is 256 bits; the multiplication-bound loops gain a quarter from more.
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        # llvmlite knows no string attributes, its set of names prints them as they are.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen
