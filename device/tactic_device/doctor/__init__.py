"""``tactic doctor``: what is wrong with a node, in a sentence, and the command that mends it."""
