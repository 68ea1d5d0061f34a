"""``tactic refine``: of which frames a gateway shall ask for the words that were left off."""
