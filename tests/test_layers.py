"""Imports follow the table in docs/architecture.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastgmm"
FILES = sorted(PACKAGE.rglob("*.py"))
OPTIONAL = ("dask", "duckdb", "h5py", "matplotlib", "pandas", "polars", "pyarrow", "rich")
OPTIONAL += ("typer", "zarr")


class Room(NamedTuple):
    floor: int
    rooms: frozenset[str]  # that it may import, itself included
    libraries: frozenset[str]  # at the top of a file
    inside: frozenset[str]  # inside functions only


class Import(NamedTuple):
    line: int
    module: str
    inside: bool  # of a function, or for type checkers only


def named(cell):
    return frozenset(re.findall(r"`(\w+)`", cell))


def read_table(text):
    """The rooms of the import table, in its order."""
    table = {}
    for floor, room, ours, libraries, inside in re.findall(
        r"^\| (\d) \| `(\w+)` \|([^|]*)\|([^|]*)\|([^|]*)\|$", text, re.MULTILINE
    ):
        floors = {int(digit) for digit in re.findall(r"(?<!\w)\d(?!\w)", ours)}
        on_floors = {name for name, other in table.items() if other.floor in floors}
        table[room] = Room(
            int(floor), named(ours) | on_floors | {room}, named(libraries), named(inside)
        )
    return table


TABLE = read_table((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))


def room_of(module):
    """The room of a module's dotted name; the package itself is the room `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(node):
    """Modules that a statement or a call imports."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom(level=0):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            return [name if is_module(name) else node.module for name in inner]
        case ast.ImportFrom():
            raise AssertionError(f"line {node.lineno}: a relative import hides its room")
        case ast.Call(
            func=ast.Name(id="require") | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


def is_for_type_checkers(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(tree, inside=False):
    """Every import below a node, and whether it waits to be executed."""
    found = [Import(tree.lineno, name, inside) for name in imported(tree)]
    inside |= isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    for child in ast.iter_child_nodes(tree):
        found += imports(child, inside or is_for_type_checkers(tree))
    return found


def violations(module, text):
    """What a file imports against the table, in words."""
    name, room = room_of(module), TABLE[room_of(module)]
    for line, target, inside in imports(ast.parse(text)):
        library = target.partition(".")[0]
        if library == "fastgmm":
            if room_of(target) not in room.rooms:
                yield f"{module}:{line} imports {target}, which room {name} may not"
        elif library in sys.stdlib_module_names:
            continue
        elif not inside and library not in room.libraries:
            yield f"{module}:{line} imports {library} at the top, which room {name} may not"
        elif inside and library not in room.libraries | room.inside:
            yield f"{module}:{line} imports {library}, which room {name} may not"


# What reaches BLAS or LAPACK, whose bits may follow their number of threads
PRODUCTS = {"convolve", "corrcoef", "correlate", "cov", "dot", "inner", "matmul", "matvec"}
PRODUCTS |= {"multivariate_normal", "polyfit", "tensordot", "vdot", "vecdot", "vecmat"}
PRODUCTS |= {"get_cython_function_address"}
LIBRARIES = ("fastgmm.mixture.factorisation", "numpy.linalg", "scipy", "sklearn")
PLAIN = (  # no sums
    "scipy.special",
    "sklearn.base",
    "sklearn.callback",
    "sklearn.exceptions",
    "sklearn.utils",
)
# Applies a factor to each matrix in its own guard: another for each would cost a third of its time
EACH = "factorisation.of_each"
# What is to be guarded; and a show, whose rivals are timed with threads of their own
FREE = ("fastgmm.mixture.factorisation", "fastgmm.parallel.blas", "fastgmm.demo")


def is_guard(node):
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "one_blas_thread"


def from_libraries(tree):
    """The names that a file gives to what it imports from libraries of products."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            for alias in node.names:
                origin = f"{module}.{alias.name}" if module else alias.name
                library = origin.startswith(LIBRARIES) and not origin.startswith(PLAIN)
                if library or alias.name in PRODUCTS:
                    yield alias.asname or alias.name.partition(".")[0]


def is_product(node, names):
    match node:
        case ast.BinOp(op=ast.MatMult()) | ast.AugAssign(op=ast.MatMult()):
            return True
        case ast.Attribute(attr=name, value=ast.Attribute(attr="linalg")):
            return name != "LinAlgError"
        case ast.Attribute(attr=name):
            return name in PRODUCTS
        case ast.Name(id=name):
            return name in names
        case ast.keyword(arg="optimize"):  # einsum has no BLAS but by this
            return True
    return False


def products(tree, names, guarded=False):
    """Lines of products outside a guard, and of guards that their caller would be left in."""
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        marks = getattr(tree, "decorator_list", [])
        guarded = any(is_guard(mark) for mark in marks)
    elif isinstance(tree, ast.With):
        guarded |= any(is_guard(item.context_expr) for item in tree.items)
    elif isinstance(tree, ast.Call):
        guarded |= ast.unparse(tree.func) == EACH
    if is_product(tree, names) and not guarded:
        yield getattr(tree, "lineno", 0)
    if isinstance(tree, ast.Yield | ast.YieldFrom) and guarded:
        yield tree.lineno
    for child in ast.iter_child_nodes(tree):
        yield from products(child, names, guarded)


def unguarded(text):
    """Lines of a file where bits may follow the threads of BLAS."""
    tree = ast.parse(text)
    return sorted(set(products(tree, set(from_libraries(tree)))))


def run(code):
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


# The map


def test_every_room_stands_in_the_table_and_every_row_is_a_room():
    house = {path.stem for path in PACKAGE.glob("*.py")}
    house |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(TABLE) == house


def test_the_table_lets_nobody_import_upwards():
    order = list(TABLE)
    for name, room in TABLE.items():
        assert room.rooms <= set(TABLE)
        for other in room.rooms - {name}:
            assert TABLE[other].floor <= room.floor
            assert order.index(other) < order.index(name)


def test_optional_libraries_are_for_the_top_floor_or_inside_functions():
    for name, room in TABLE.items():
        allowed = {"rich", "typer"} if name in ("cli", "demo") else set()
        assert not room.libraries & set(OPTIONAL) - allowed


# The house


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_follow_the_map(path):
    assert not list(violations(module_of(path), path.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("fastgmm.em", "from fastgmm.kernels import full"),
        ("fastgmm.em", "from fastgmm import passes"),
        ("fastgmm.errors", "import fastgmm"),
        (
            "fastgmm.sources.formats.npy",
            "def f():\n    from fastgmm.mixture.arrays import Array",
        ),
        ("fastgmm.mixture.statistics", "if TYPE_CHECKING:\n    import fastgmm.covariance"),
        ("fastgmm.passes", "class A:\n    from sklearn.base import BaseEstimator"),
        ("fastgmm.sources.formats.parquet", "import pyarrow.parquet"),
        (
            "fastgmm.sources.formats.parquet",
            "try:\n    import pyarrow\nexcept ImportError:\n    pass",
        ),
        ("fastgmm.sources.formats.parquet", "arrow = require('pyarrow', 'io')"),
        ("fastgmm.sources.formats.parquet", "def f():\n    return require('matplotlib', 'plot')"),
        ("fastgmm.plot", "import matplotlib"),
    ],
)
def test_an_import_against_the_map_is_noticed(module, text):
    assert len(list(violations(module, text))) == 1


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("fastgmm.em", "import math\nfrom fastgmm.errors import DataError"),
        ("fastgmm.sources.formats.parquet", "def f():\n    return require('pyarrow', 'io')"),
        ("fastgmm.plot", "if TYPE_CHECKING:\n    from matplotlib.axes import Axes"),
    ],
)
def test_an_import_by_the_map_is_let_be(module, text):
    assert not list(violations(module, text))


# Products


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_products_of_matrices_are_taken_by_one_thread_of_blas(path):
    if not module_of(path).startswith(FREE):
        assert not unguarded(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "a @ b",
        "a @= b",
        "np.dot(a, b)",
        "a.dot(b)",
        "np.linalg.norm(a)",
        "np.einsum('ij,jk', a, b, optimize=True)",
        "from numpy import matmul\nmatmul(a, b)",
        "from numpy.linalg import eigh as f\nf(a)",
        "import numpy.linalg as la\nla.inv(a)",
        "from scipy.linalg.lapack import dpotrf\ndpotrf(a)",
        "from sklearn.cluster import KMeans\nKMeans(2).fit(a)",
        "rng.multivariate_normal(a, b)",
        "with one_blas_thread():\n    f = lambda: a @ b",
        "with one_blas_thread():\n    def f():\n        return a @ b",
        "@one_blas_thread()\ndef f():\n    yield a @ b",
        "def f():\n    with one_blas_thread():\n        yield 1",
        "from fastgmm.mixture import factorisation\nfactorisation.inverse_factor(a)",
    ],
)
def test_a_product_outside_a_guard_is_noticed(text):
    assert len(unguarded(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "np.einsum('ij,jk', a, b)",
        "try:\n    pass\nexcept np.linalg.LinAlgError:\n    pass",
        "with one_blas_thread():\n    f(each @ b for each in a)",
        "@one_blas_thread()\ndef f():\n    return np.linalg.inv(a) @ b",
        "from sklearn.utils import check_array\ncheck_array(a)",
        "from fastgmm.mixture import factorisation as f\nfactorisation.of_each(f.upper_factor, a)",
    ],
)
def test_a_product_inside_a_guard_is_let_be(text):
    assert not unguarded(text)


# The door


def test_importing_fastgmm_opens_no_library_at_all():
    code = "import sys, fastgmm; print(*{name.partition('.')[0] for name in sys.modules})"
    known = sys.stdlib_module_names | {"fastgmm", "__main__"}
    libraries = {*OPTIONAL, "numba", "numpy", "scipy", "sklearn"}
    assert not (set(run(code).split()) - known) & libraries


def test_the_public_names_need_no_optional_library():
    run(
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({OPTIONAL!r}))\n"  # None: its import fails
        "import fastgmm\n"
        "for name in fastgmm.__all__: getattr(fastgmm, name)"
    )


def test_opening_every_public_name_compiles_nothing():
    run(
        "from numba.core.event import install_recorder\n"
        "import fastgmm\n"
        "with install_recorder('numba:compile') as compiled:\n"
        "    for name in fastgmm.__all__: getattr(fastgmm, name)\n"
        "assert not compiled.buffer"
    )
