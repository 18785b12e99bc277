"""Care for data before they are evaluated on: what lies on disk, what leaks, what must not leave the machine.

Every function here reads and none changes a dataset. Of restricted data only counts, tag names and lengths are told.
"""
