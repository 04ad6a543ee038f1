"""Questions about 64 numbers in a row, answered in one bit each by a handful of instructions.

The compiler makes such code of a plain loop only where the answer is one for all of them; so these are written in its
own language (LLVM's, not a processor's), and a plain loop is the twin that each is tested against.

All take contiguous float32 or float64 arrays.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.base import BaseContext
from numba.core.errors import TypingError

from recbench.kernels.compiling import in_llvm

AT_A_TIME = 64
"""Numbers asked at a time, of which the first is the lowest bit of an answer."""

_BITS = ir.IntType(AT_A_TIME)


@in_llvm
def at_least(_: Any, numbers: types.Array, first: types.Integer, least: types.Float) -> Any:
    """Return which of ``numbers[first:first + 64]`` are at least ``least``; NaN is not."""
    _refuse_strides(numbers)

    def code(context: BaseContext, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        some = _loaded(context, builder, signature.args[0], arguments[0], arguments[1])
        alone = builder.insert_element(ir.Constant(some.type, ir.Undefined), arguments[2], ir.IntType(32)(0))
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), AT_A_TIME), None)
        compared = builder.fcmp_ordered(">=", some, builder.shuffle_vector(alone, alone, everywhere))
        return builder.bitcast(compared, _BITS)

    return types.uint64(numbers, types.intp, numbers.dtype), code


@in_llvm
def not_finite(_: Any, numbers: types.Array, first: types.Integer) -> Any:
    """Return which of ``numbers[first:first + 64]`` are NaN or infinite."""
    _refuse_strides(numbers)

    def code(context: BaseContext, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        some = _loaded(context, builder, signature.args[0], arguments[0], arguments[1])
        nothing = builder.fsub(some, some)
        return builder.bitcast(builder.fcmp_unordered("uno", nothing, nothing), _BITS)

    return types.uint64(numbers, types.intp), code


@in_llvm
def keep_larger(_: Any, kept: types.Array, numbers: types.Array, first: types.Integer) -> Any:
    """Put into ``kept`` (64,) each of ``numbers[first:first + 64]`` that is larger; NaN is not."""
    _refuse_strides(kept, numbers)

    def code(context: BaseContext, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        place, size = _place(context, builder, signature.args[0], arguments[0], context.get_constant(types.intp, 0))
        some = _loaded(context, builder, signature.args[1], arguments[1], arguments[2])
        before = builder.load(place, align=size)
        builder.store(builder.select(builder.fcmp_ordered(">", some, before), some, before), place, align=size)
        return context.get_dummy_value()

    return types.void(kept, numbers, types.intp), code


@in_llvm
def lowest(_: Any, bits: types.Integer) -> Any:
    """Return the place of the lowest bit that is set; one has to be."""

    def code(context: BaseContext, builder: ir.IRBuilder, signature: Any, arguments: Any) -> ir.Value:
        return builder.cttz(arguments[0], ir.IntType(1)(1))

    return types.int64(types.uint64), code


def _refuse_strides(*arrays: types.Array) -> None:
    """Refuse to compile for arrays whose numbers may not stand side by side."""
    if any(array.layout != "C" for array in arrays):
        raise TypingError("64 numbers are loaded at once: the array has to be contiguous.")


def _loaded(context: BaseContext, builder: ir.IRBuilder, *of_array: Any) -> ir.Value:
    """Return 64 numbers of an array; see ``_place``."""
    place, size = _place(context, builder, *of_array)
    return builder.load(place, align=size)


def _place(
    context: BaseContext, builder: ir.IRBuilder, numbers: types.Array, value: ir.Value, first: ir.Value
) -> tuple[ir.Value, int]:
    """Return where the 64 numbers from ``first`` on stand, and how they are aligned.

    Args:
        context: Of the compiler, as ``builder``.
        builder: Writes the code.
        numbers: The type of the array.
        value: The array.
        first: Index.
    """
    data = context.make_array(numbers)(context, builder, value).data
    number = context.get_data_type(numbers.dtype)
    size = context.get_abi_sizeof(number)
    together = ir.VectorType(number, AT_A_TIME).as_pointer()
    return builder.bitcast(builder.gep(data, [first]), together), size
