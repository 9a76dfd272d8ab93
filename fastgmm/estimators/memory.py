"""Whether the covariances of a mixture fit into memory, asked before the fit begins."""

from __future__ import annotations

from pathlib import Path

from fastgmm.covariance import family

COPIES = 4  # of the covariances, alive at once at the least: old, new, factors and moments
ALWAYS_FITS = 100_000_000  # bytes that are not worth a look
CGROUP = Path("/sys/fs/cgroup")


def demand(n_components: int, n_features: int, covariance_type: str) -> None:
    """Refuse covariances that are larger than the memory there is.

    Raises
    ------
    MemoryError
        It says how many bytes are needed and how many there are.
    """
    numbers = family(covariance_type).n_covariance_parameters(n_components, n_features)
    if covariance_type in ("full", "tied"):
        numbers *= 2  # matrices are written out in full
    needed = 8 * COPIES * numbers
    available = available_bytes() if needed > ALWAYS_FITS else None
    if available is not None and needed > available:
        way = {
            "full": "fewer components, covariance_type='tied', 'diag' or 'spherical'",
            "tied": "covariance_type='diag' or 'spherical'",
        }.get(covariance_type, "fewer components")
        raise MemoryError(
            f"a fit of {n_components} component(s) of {n_features} features with "
            f"covariance_type={covariance_type!r} needs about {needed:,} bytes and "
            f"{available:,} are available; take {way}, or choose fewer features"
        )


def available_bytes() -> int | None:
    """Return what the system and the container leave to this process, or None if neither says."""
    known = [count for count in (_of_system(), _of_container()) if count is not None]
    return min(known, default=None)


def _of_system() -> int | None:
    """Free memory, and what the kernel would give up for it; Linux says."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return found[0] * 1024 if found else None


def _of_container() -> int | None:
    """What is left under the limit of a container; files that are cached there make room."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return max(0, int(limit) - used + int(stat.get("file", 0)))
