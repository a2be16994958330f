"""What people see of hole punches."""

from driver.punches import ALL, CASES, NONE
from driver.terminal import coloured, progress, shorten


def print_run(number, count, cell, run):
    head = f"[{number:>{len(str(count))}}/{count}] {cell.case.name:<17} {cell.title:<28}"
    if run.error:
        words, outcome = "FAILED  " + run.error, "impossible" if cell.defect else "failed"
    else:
        fits = run.fits(cell.case.expects)
        outcome = "ok" if fits else "impossible" if cell.defect else "failed"
        words = f"direct   {duration(run.took)} by {run.report['direct_addr'].split('/p2p/')[0]}" if run.upgraded else "circuit"
    progress(f"{head} {coloured(words, outcome)}  ({run.seconds:.1f} s)")
    for name, lines in run.tails.items():
        progress(f"    {name}:")
        for line in lines:
            progress(f"      {shorten(line, 300)}")


def print_tables(cells, aside, delays):
    """Rows: who dials whom. Columns: the networks."""
    cases = [case for case in CASES if any(cell.case == case for cell in cells)]
    print()
    for case in cases:
        expects = {ALL: "always", NONE: "never"}.get(case.expects, "either")
        print(f"{case.name:<18}{case.dialer} dials {case.listener}: {case.what}. Direct: {expects}")
    titles = list(dict.fromkeys(cell.title for cell in cells))
    places = {(cell.title, cell.case.name): cell for cell in cells}
    remarks = []
    texts = {place: words(places[place], remarks) for place in ((t, c.name) for t in titles for c in cases) if place in places}
    widths = {c.name: 2 + max(len(c.name), *(len(text) for (_, name), text in texts.items() if name == c.name)) for c in cases}
    first = 2 + max(map(len, [*titles, "dialer -> listener"]))
    print(f"\n{'dialer -> listener':<{first}}" + "".join(f"{case.name:<{widths[case.name]}}" for case in cases).rstrip())
    for title in titles:
        line = f"{title:<{first}}"
        for case in cases:
            cell = places.get((title, case.name))
            text = f"{texts.get((title, case.name), '-'):<{widths[case.name]}}"
            line += coloured(text, cell.outcome) if cell else text
        print(line.rstrip())
    print("\nDirect connections of all tries; medians at the dialer, from the circuit to the direct connection.")
    if any(case.delayed for case in cases):
        print("In brackets: from when it began to dial, where tidewire has no connection with the relay yet, and the peers have.")
        print("Delays one way: " + ", ".join(f"{who} {seconds * 1000:.0f} ms" for who, seconds in delays.items()) + ".")
    for number, text in enumerate(remarks, 1):
        print(f"[{number}] {text}")
    for party in aside:
        print(f"{party.name} takes no part: {party.punch['reason']} ({party.punch['reference']})")


def words(cell, remarks):
    text = f"{cell.upgrades}/{len(cell.runs)}"
    if cell.median is not None:
        text += f" {duration(cell.median)}" + (f" ({duration(cell.whole)})" if cell.case.delayed else "")
    remark = None
    if cell.outcome in ("impossible", "unexpected") or cell.defect and not cell.works:
        remark = f"{cell.culprit.name}: {cell.defect['reason']} ({cell.defect['reference']})"
        if cell.outcome == "unexpected":
            remark = "worked, though a defect is declared: " + remark
    elif cell.outcome == "failed":
        remark = f"{cell.title}, {cell.case.name}: {cell.error or 'not run'}"
    if remark is None:
        return text
    if remark not in remarks:
        remarks.append(remark)
    return f"{text} [{remarks.index(remark) + 1}]"


def duration(ms):
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.2f} s"
