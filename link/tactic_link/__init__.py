"""Thin links: presets, contact windows, a channel model and a simulator in virtual time."""
