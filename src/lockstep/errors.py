"""The one exception that Lockstep shows to people, and how any other is put into one line."""

import errno

AGAIN = "then run the same command again: finished cells and checkpoints are kept"
REMEDIES = {
    errno.ENOSPC: f"free some space, {AGAIN}",
    errno.EDQUOT: f"free some space, {AGAIN}",
    errno.EACCES: f"mend the permissions, {AGAIN}",
    errno.EPERM: f"mend the permissions, {AGAIN}",
    errno.EROFS: f"name a folder that can be written, {AGAIN}",
    errno.ENOTDIR: f"a file stands where a folder is needed: move it away, {AGAIN}",
    errno.EEXIST: f"a file stands where a folder is needed: move it away, {AGAIN}",
}
CONTROL = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}
"""All but tab and newline, as escapes: a name that holds one would steer the terminal."""
UTF8 = "set PYTHONUTF8=1 in the environment, then run the same command again"

LONGEST = 400
"""Characters of an error of others; a traceback has the rest."""


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
        place = f"{error.filename2 or error.filename}: " if error.filename else ""
        text = f"{place}{error.strerror or error}; {REMEDIES.get(error.errno or 0, 'check this path')}"
    elif isinstance(error, UnicodeEncodeError):
        name = ascii(error.object[max(error.start - 20, 0) : error.end + 20])
        remedy = "rename what holds bytes that are no text" if error.encoding == "utf-8" else UTF8
        text = f"{name}: cannot be written in {error.encoding}; {remedy}"
    else:
        text = f"{type(error).__name__}: {error}"
    line = " ".join(text.split()).translate(CONTROL)
    foreign = not isinstance(error, LockstepError)  # some put all that a compiler said into theirs
    return f"{line[:LONGEST]} ..." if foreign and len(line) > LONGEST else line
