"""Errors that a user can cause: one clear message, never a traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend; its text says what is wrong, where, and what to do."""


class UsageError(UserError):
    """A command that cannot be meant: an unknown name, a folder that is not there."""


def exit_on_user_error(main: Callable[[], None]) -> None:
    """Run `main`; end with its one-line message when it raises a UserError: exit code 2 for a UsageError, else 1."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, UsageError) else 1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def first_line(error: BaseException) -> str:
    """Return what an error says in one line; its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
