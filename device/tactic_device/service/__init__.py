"""The node as a service of systemd: what is written where, and how it is removed again."""
