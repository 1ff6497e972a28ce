"""The one exception that a stage turns into a line for people."""


class PipelineError(Exception):
    """Something the user can mend. The message says what happened, what was expected, what came, and what to do."""
