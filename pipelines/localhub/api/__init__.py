"""The Hub's HTTP API as its clients speak it: one module per part of a repo, all of them thin."""
