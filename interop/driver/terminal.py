"""What people see while it runs."""

import os
import sys

COLOURS = {"ok": "32", "impossible": "33", "failed": "1;31", "unexpected": "1;31"}
WORDS = {"ok": "ok", "impossible": "can't", "failed": "FAILED", "unexpected": "WORKED?"}


def coloured(text, outcome):
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        return f"\033[{COLOURS[outcome]}m{text}\033[0m"
    return text


def progress(text):
    print(text, flush=True)


def shorten(text, limit=60):
    return text if len(text) <= limit else text[: limit - 3].rstrip() + "..."
