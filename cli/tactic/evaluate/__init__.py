"""``tactic eval`` and ``tactic plot``: bytes against accuracy, beside JPEG, WebP and AVIF."""
