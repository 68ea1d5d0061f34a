"""``tactic reproduce``: the paper's tables, and ours beside them, as experiments that resume."""
