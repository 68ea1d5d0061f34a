"""``tactic gate``: how much has to change before a fixed camera's frame is sent."""
