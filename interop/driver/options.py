"""What the command lines have in common."""

import argparse


def some_of(known):
    def parse(text):
        names = list(dict.fromkeys(filter(None, text.split(","))))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"unknown: {name}; expected some of {','.join(known)}")
        if not names:
            raise argparse.ArgumentTypeError(f"expected some of {','.join(known)}")
        return names

    return parse


def at_least(least):
    def parse(text):
        try:
            value = type(least)(text)
        except ValueError:
            value = least - 1
        if not least <= value < 1e9:
            raise argparse.ArgumentTypeError(f"expected a number of at least {least}, got {text}")
        return value

    return parse
