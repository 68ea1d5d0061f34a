"""From a checkpoint to a bundle: integers once, then the same integers in every file."""
