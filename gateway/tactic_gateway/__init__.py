"""The gateway: stores packets, acknowledges them, decodes them, runs the task, serves results."""
