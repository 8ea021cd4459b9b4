"""What the Hub keeps: git's objects and refs in one SQLite file, large files beside it under their sha256."""
