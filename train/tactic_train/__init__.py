"""Training: data, networks, rate model, losses, loop and evaluation of the float codec."""
