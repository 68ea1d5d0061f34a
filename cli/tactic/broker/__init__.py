"""A broker's configuration with certificates: who may connect, and what each may say and hear."""
