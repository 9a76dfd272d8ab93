"""What Numba compiles for: this processor, or another that its settings name.

Under ``NUMBA_CPU_NAME=generic`` (for images, and caches that machines share) it is not this one. So
what follows from the processor follows from these settings, never from the machine itself: kernels
for registers of eight wrote past the ends of arrays that a machine without them had made for four.
"""

import re
from functools import cache

import llvmlite.binding as llvm
from numba.core import config
from numba.core.codegen import get_host_cpu_features, initialize_llvm

from fastgmm.errors import warn

NAME = llvm.get_host_cpu_name() if config.CPU_NAME is None else config.CPU_NAME
FEATURES = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES
PROBE = """
declare <8 x double> @llvm.fma.v8f64(<8 x double>, <8 x double>, <8 x double>)
define <8 x double> @probe(<8 x double> %a, <8 x double> %b, <8 x double> %c) {
  %d = call <8 x double> @llvm.fma.v8f64(<8 x double> %a, <8 x double> %b, <8 x double> %c)
  ret <8 x double> %d
}
"""


def instructions():
    """Tell whether registers hold eight float64, and whether there is a fused multiply-add.

    LLVM's own list of a machine names all features, with a sign. Where users give some, a name
    implies others, which only LLVM knows: what it makes of eight of them tells (2 to 20 ms).
    """
    triple = llvm.get_process_triple()
    if config.CPU_FEATURES is None:
        listed = FEATURES.split(",")
        # x86 alone has processors without it
        return "+avx512f" in listed, "+fma" in listed or not re.match("x86|i.86|amd64", triple)
    initialize_llvm()
    machine = llvm.Target.from_triple(triple).create_target_machine(NAME, FEATURES, opt=0)
    module = llvm.parse_assembly(PROBE)
    module.triple = triple
    assembly = machine.emit_assembly(module)
    return "zmm" in assembly, not re.search(r"\b_?fma\b", assembly)  # a call of the function


HAS_LONG_REGISTERS, HAS_FMA = instructions()
# Float64 numbers in a register: eight with AVX-512, four elsewhere (LLVM splits them where
# registers are shorter).
WIDTH = 8 if HAS_LONG_REGISTERS else 4


@cache
def warn_without_fma():
    """Warn once that kernels are slow where every fused multiply-add is a function call."""
    if HAS_FMA:
        return
    if config.CPU_NAME is None and config.CPU_FEATURES is None:
        why = f"the processor ({NAME}) has none"
        way = "run on one that has (x86 servers since 2013); a virtual machine may hide it"
    else:
        why = f"NUMBA_CPU_NAME is {config.CPU_NAME!r}, NUMBA_CPU_FEATURES {config.CPU_FEATURES!r}"
        way = (
            "leave out both; or, for machines that share a cache, set NUMBA_CPU_NAME=generic and "
            "NUMBA_CPU_FEATURES=+avx2,+fma, which x86 servers since 2013 have"
        )
    warn(
        f"Numba compiles without fused multiply-add: {why}. Results are right, and a pass takes "
        f"some 24 times as long; {way}",
        RuntimeWarning,
    )
