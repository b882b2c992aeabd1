"""The one training loop: `experiment` runs a `task`, to the bit through every interruption."""
