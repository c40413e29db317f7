"""Which samples are kept, and as which bytes."""
