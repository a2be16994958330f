"""What the words on the command line may be."""

import argparse

from driver.party import CELLS, SELECTS


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


def cell_list(text):
    chosen = set()
    for part in some_of([*CELLS, *(f"{c}:{s}" for c in CELLS for s in SELECTS)])(text):
        name, _, select = part.partition(":")
        chosen.update((name, s) for s in SELECTS if select in ("", s))
    return [(name, select) for name in CELLS for select in SELECTS if (name, select) in chosen]


def parts(scenarios):
    """What to run: `direct`, `circuits`, scenarios, relay/listener/dialer."""
    known = ["direct", "circuits", *scenarios]

    def parse(text):
        chosen = list(filter(None, text.split(",")))
        for word in chosen:
            if word.count("/") not in (1, 2) and word.split(" ")[0] not in known:
                raise argparse.ArgumentTypeError(f"unknown: {word}; expected some of {', '.join(known)}, or relay/listener/dialer")
        if not chosen:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(known)}, or relay/listener/dialer")
        return chosen

    return parse
