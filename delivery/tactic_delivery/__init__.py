"""The delivery protocol as state machines without I/O: time and randomness are arguments."""
