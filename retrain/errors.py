"""The one exception type that stands for a mistake which the user can mend."""


class UserError(Exception):
    """Raised where the user must change something before the program can go on.

    The message is one line: what was expected, what was received (with the name of the flag or
    file and its value) and what to do. Mains print it and exit with status 1; any other exception
    is a defect of the program.
    """
