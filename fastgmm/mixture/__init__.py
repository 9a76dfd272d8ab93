"""The values of a mixture: its parameters, and the statistics they are estimated from."""
