"""What looks after a gateway's store."""
