"""Errors that a user can cause: one clear message, never a traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend; its text says what is wrong, where, and what to do."""


def exit_on_user_error(main: Callable[[], None]) -> None:
    """Run `main`; end with its one-line message and exit code 1 when it raises a UserError."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
