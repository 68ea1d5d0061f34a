"""Cameras, each in a process of its own: a driver that blocks can then be killed.

That process imports no more than NumPy, OpenCV and this package.
"""
