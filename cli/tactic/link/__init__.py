"""``tactic link``: thin links, what they carry, and how many correct decisions come over them."""
