"""Types, tables, entropy coder, packets and bundles: what both ends of the link share."""
