"""Keys, trust files and signatures: what whoever makes bundles does on a machine of their own."""
