"""The one exception meant for the person at the keyboard."""


class UserError(ValueError):
    """Something the user can mend. The message is one line: which file or setting, its value, and what to do."""
