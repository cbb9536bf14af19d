"""The lake and its file formats: where an artifact lies, how it is written and read.

One module per format; ``lake`` keeps the paths. What stands in the files is decided in the layers.
"""
