"""Benchmarks that asv runs and keeps a history of."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # asv knows this folder alone, not bench.tools
