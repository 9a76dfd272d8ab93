"""Files that appear whole or not at all: models and checkpoints."""
