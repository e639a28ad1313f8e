"""The one kind of error that the command line reports."""

import click


class Fault(click.ClickException):
    """A mistake of the caller's: one sentence, exit code 2."""

    exit_code = 2
