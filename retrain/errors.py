"""The exception for mistakes that the user can correct."""


class UserError(Exception):
    """The user must change something before the program can continue.

    The message is one line. It says what was expected, what was received, including the flag or
    file and its value, and what to do. Programs print it and exit with status 1. Any other
    exception is a defect of the program.
    """
