"""The stages, one verb per file. Each reads rows of one repo at a pinned commit and publishes rows of another."""
