"""The one exception that Lockstep shows to people."""


class LockstepError(Exception):
    """Something a person can mend, in one line.

    The message names the file, key or value, what was expected, and what to do.
    The command line prints it without a traceback and exits with status 1.
    """
