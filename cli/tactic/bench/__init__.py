"""How fast a node is, beside other codecs in the same run."""
