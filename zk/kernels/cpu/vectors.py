"""Explicit vectors for the transforms: arrays whose rows are LANES words, one vector each.

LLVM would unroll loops over such short rows before its vectoriser sees them, so vector code is emitted directly; on a
processor with shorter registers LLVM splits each vector.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types

from zk.kernels.cpu.emit import Word, intrinsic

LANES = 8
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_I64, LANES)


class Rows:
    """The rows of a (n, LANES) array in a function that is being emitted; each is one vector."""

    def __init__(self, builder: Any, data: Any) -> None:
        self.builder = builder
        self.data = builder.bitcast(data, _I64.as_pointer())

    def at(self, offset: Any) -> Any:
        """Return a pointer to the vector that starts at a word offset."""
        return self.builder.bitcast(self.builder.gep(self.data, [offset]), _VECTOR.as_pointer())

    def _pointer(self, row: Any) -> Any:
        return self.at(self.builder.mul(row, ir.Constant(row.type, LANES)))

    def load(self, row: Any) -> Word:
        return Word(self.builder, self.builder.load(self._pointer(row), align=8))

    def store(self, row: Any, value: Word) -> None:
        self.builder.store(value.value, self._pointer(row), align=8)

    def broadcast(self, value: Any) -> Word:
        """Return a vector of equal words."""
        start = self.builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(_I32, 0))
        mask = ir.Constant(ir.VectorType(_I32, LANES), [ir.Constant(_I32, 0)] * LANES)
        return Word(self.builder, self.builder.shuffle_vector(start, ir.Constant(_VECTOR, ir.Undefined), mask))


def emitted_on_rows(function: Callable[..., None]) -> Any:
    """Make function(rows, *row numbers, *vectors) callable in kernels as f(array, row numbers..., words...).

    The array is C-contiguous uint64 of shape (n, LANES); arguments annotated int are row numbers, the others words
    that are broadcast.
    """
    parameters = list(inspect.signature(function).parameters.values())[1:]
    kinds = [types.intp if parameter.annotation == "int" else types.uint64 for parameter in parameters]

    def definition(typingctx, array, *arguments):  # type: ignore[no-untyped-def]
        def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
            data = context.make_array(signature.args[0])(context, builder, args[0]).data
            rows = Rows(builder, data)
            pairs = zip(kinds, args[1:], strict=True)
            function(rows, *(value if kind == types.intp else rows.broadcast(value) for kind, value in pairs))
            return context.get_dummy_value()

        return types.void(array, *kinds), codegen

    context = inspect.Parameter("typingctx", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    array = inspect.Parameter("array", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    definition.__signature__ = inspect.Signature([context, array, *parameters])  # type: ignore[attr-defined]
    definition.__name__ = definition.__qualname__ = function.__name__
    definition.__doc__ = function.__doc__
    return intrinsic(definition)


def _data(context: Any, builder: Any, signature: Any, args: Any, k: int) -> Rows:
    return Rows(builder, context.make_array(signature.args[k])(context, builder, args[k]).data)


@intrinsic
def copy_row(typingctx, rows, row, target, offset):  # type: ignore[no-untyped-def]
    """Write one row to the words offset.. of a contiguous array; bounds are not checked."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        value = _data(context, builder, signature, args, 0).load(args[1])
        target = _data(context, builder, signature, args, 2)
        builder.store(value.value, target.at(args[3]), align=8)
        return context.get_dummy_value()

    return types.void(rows, types.intp, target, types.intp), codegen


def _transpose(builder: Any, vectors: list[Any]) -> list[Any]:
    """Swap row and lane indices, one bit at a time."""
    for bit in (1, 2, 4):
        low = [lane + LANES - bit if lane & bit else lane for lane in range(LANES)]
        high = [lane + LANES if lane & bit else lane + bit for lane in range(LANES)]
        masks = [ir.Constant(ir.VectorType(_I32, LANES), [ir.Constant(_I32, x) for x in mask]) for mask in (low, high)]
        for i in range(LANES):
            if not i & bit:
                pair = vectors[i], vectors[i + bit]
                vectors[i], vectors[i + bit] = (builder.shuffle_vector(*pair, mask) for mask in masks)
    return vectors


@intrinsic
def load_transposed(typingctx, source, offset, stride, rows, row):  # type: ignore[no-untyped-def]
    """rows[row + j, i] = word offset + i stride + j of source, for i, j < LANES; bounds are not checked."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, target = _data(context, builder, signature, args, 0), _data(context, builder, signature, args, 3)
        vectors, offset = [], args[1]
        for _ in range(LANES):
            vectors.append(builder.load(source.at(offset), align=8))
            offset = builder.add(offset, args[2])
        for j, vector in enumerate(_transpose(builder, vectors)):
            target.store(builder.add(args[4], ir.Constant(args[4].type, j)), Word(builder, vector))
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, rows, types.intp), codegen


@intrinsic
def prefetch_for_writing(typingctx, target, offset):  # type: ignore[no-untyped-def]
    """Ask for the cache line of a word of a contiguous array; an offset outside the array is harmless."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        word = builder.gep(_data(context, builder, signature, args, 0).data, [args[1]])
        pointer = builder.bitcast(word, ir.IntType(8).as_pointer())
        prototype = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch.p0", (), prototype)
        builder.call(prefetch, [pointer, _I32(1), _I32(2), _I32(1)])
        return context.get_dummy_value()

    return types.void(target, types.intp), codegen
