"""The first parameters of a fit: k-means, short runs of EM, splits and merges."""
