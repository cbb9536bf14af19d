"""The pipeline beside what its users would pick instead; run it with ``make bench``."""
