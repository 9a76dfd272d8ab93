"""Kernels that parallel ones call by their address, so that they are compiled once.

Numba optimises the body of a ``prange`` three times: as a function, in the wrapper that threads
call, and in the kernel around both. With a kernel of full covariances in it, that took 6 s where
the kernel alone takes 3. Called by its address it is optimised once, and is the same machine code
that small work runs on the calling thread.
"""

from typing import NamedTuple
from zlib import crc32

import numpy as np
from llvmlite import ir
from numba import typeof, types
from numba.core import cgutils
from numba.extending import intrinsic


class Entry(NamedTuple):
    """Where the machine code of a kernel begins, and for arguments of which types it is."""

    address: int
    mark: int


_entries = {}


def entry_of(kernel, *arguments):
    """Compile a kernel for arguments like these, unless it is; return where it begins."""
    kinds = kernel, *map(_kind, arguments)
    if kinds not in _entries:
        signature = tuple(map(typeof, arguments))
        kernel.compile(signature)
        found = kernel.overloads[signature]
        address = found.library.get_pointer_to_function(found.fndesc.llvm_func_name)
        _entries[kinds] = Entry(address, _mark(signature))
    return _entries[kinds]


def _kind(argument):
    """Return what the type of an argument follows from: `typeof` took 20 times as long."""
    if isinstance(argument, np.ndarray):
        return argument.dtype.num, argument.ndim, argument.flags.num
    if isinstance(argument, tuple):
        return type(argument), *map(_kind, argument)
    return type(argument)


def _mark(signature):
    return crc32(str(tuple(signature)).encode())


def calling(result):
    """Return what calls a kernel by its entry with a tuple of arguments, for a type of result."""

    @intrinsic
    def call(typing, address, mark, arguments):
        def generate(context, builder, signature, values):
            given, known, packed = values
            expected = ir.Constant(known.type, _mark(arguments.types))
            with builder.if_then(builder.icmp_unsigned("!=", known, expected), likely=False):
                message = f"a kernel compiled for other types was called with {arguments}"
                context.call_conv.return_user_exc(builder, TypeError, (message,))
            convention = context.call_conv
            kind = convention.get_function_type(result, arguments.types)
            function = builder.inttoptr(given, kind.as_pointer())
            status, found = convention.call_function(
                builder,
                function,
                result,
                arguments.types,
                cgutils.unpack_tuple(builder, packed, len(arguments.types)),
            )
            with cgutils.if_unlikely(builder, status.is_error):
                convention.return_status_propagate(builder, status)
            return found

        return result(types.intp, types.intp, arguments), generate

    return call


call_for_float = calling(types.float64)
call_for_nothing = calling(types.none)
