"""Models: one file per way of reaching one."""
