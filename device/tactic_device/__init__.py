"""The camera node: capture, encode, keep, send."""
