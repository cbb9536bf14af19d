"""The workspace as its own SDK sees it; ``asking`` is how these tests ask."""
