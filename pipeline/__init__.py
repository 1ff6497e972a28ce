"""The nouns of the pipeline. Before any of them loads NumPy, its libraries are limited to what all processors compute alike."""

from pipeline.runtime.portable import limit_libraries

limit_libraries()
