"""The exception whose message a verb prints as one line, without a traceback."""


class PipelineError(Exception):
    """An error that the user can fix. The message: what happened, what was expected, what was received, what to do."""
