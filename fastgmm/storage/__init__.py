"""Files of models and checkpoints, written atomically."""
