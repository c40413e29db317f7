"""Experiments behind the figures in docs/: each writes its page, and goes on where it stopped."""
