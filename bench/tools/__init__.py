"""What benchmarks share, and how two checkouts are compared."""
