"""The one exception that Lockstep shows to people, and how any other is put into one line."""


class LockstepError(Exception):
    """Something a person can mend, in one line.

    The message names the file, key or value, what was expected, and what to do.
    The command line prints it without a traceback and exits with status 1.
    """


def one_line(error: BaseException) -> str:
    """What happened and what to do: a full disk or a locked folder is told in words, a bug by its name."""
    if isinstance(error, LockstepError):
        text = str(error)
    elif isinstance(error, OSError):
        place = error.filename2 or error.filename or "the results folder"
        text = (
            f"{place}: {error.strerror or error}; free space or mend permissions, then run the same "
            "command again: finished cells and checkpoints are kept"
        )
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())
