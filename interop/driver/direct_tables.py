"""What people see of cells of two."""

from driver.terminal import WORDS, coloured, progress, shorten


def print_cell(number, count, cell):
    pair = f"{cell.dialer.name} -> {cell.listener.name}"
    head = f"[{number:>{len(str(count))}}/{count}] {pair:<18} {cell.name:<16} {cell.select:<6}"
    word = coloured(f"{WORDS[cell.outcome]:<8}", cell.outcome)
    if cell.works:
        report = cell.report
        ping = sorted(report["ping_ms"])[len(report["ping_ms"]) // 2]
        detail = f"connect {report['connect_ms']:6.1f}  ping {ping:6.2f}  echo {report['echo']['ms']:7.1f} ms"
    else:
        # The table below has the whole reason.
        detail = shorten(cell.reason) if cell.expected else cell.error
    progress(f"{head} {word} {detail}  ({cell.seconds:.1f} s)")
    if cell.outcome == "unexpected":
        progress(f"    {cell.unable.name} declared it impossible: {cell.reason}")
    for name, lines in cell.tails.items():
        progress(f"    {name}:")
        for line in lines:
            progress(f"      {line}")


def print_table(cells, peers):
    """Rows: cell and selection. Columns: peer and direction. What isn't plainly ok has a number, and a line below."""
    us = cells[0].us.name
    by_place = {(c.name, c.select, c.peer.name, c.outbound): c for c in cells}
    rows = list(dict.fromkeys((c.name, c.select) for c in cells))
    columns = [(p, outbound) for p in peers for outbound in (True, False)]
    remarks = []
    texts = {}
    for place, cell in by_place.items():
        texts[place] = WORDS[cell.outcome]
        if cell.outcome != "ok":
            failed = cell.outcome == "failed"
            remark = (cell.outcome, *((cell.peer.name, cell.error) if failed else (cell.unable.name, cell.reason)))
            if remark not in remarks:
                remarks.append(remark)
            texts[place] += f" [{remarks.index(remark) + 1}]"
    width = 2 + max(map(len, texts.values()))
    titles = [f"{p.name} {p.version or ''}".strip() for p in peers]
    width = max(width, *(len(title) // 2 + 1 for title in titles))

    print(f"\n{'':<24}" + "".join(f"{title:<{2 * width}}" for title in titles).rstrip())
    print(f"{'':<24}" + "".join(f"{'out' if outbound else 'in':<{width}}" for _, outbound in columns).rstrip())
    for name, select in rows:
        line = f"{name:<17}{select:<7}"
        for p, outbound in columns:
            place = (name, select, p.name, outbound)
            text = f"{texts.get(place, '-'):<{width}}"
            line += coloured(text, by_place[place].outcome) if place in texts else text
        print(line.rstrip())
    print(f"\nout: {us} dials the peer; in: the peer dials {us}.")
    for number, (outcome, name, reason) in enumerate(remarks, 1):
        what = {"impossible": "can't", "failed": "failed", "unexpected": "worked, though declared impossible"}[outcome]
        print(coloured(f"[{number}]", outcome) + f" {name} {what}: {reason}")
    for p in peers:
        for note in p.notes:
            print(f"{p.name}: {note}")


def print_identify(talks):
    """Rows: who identifies whom. What a peer is known not to do has a number, and a line below."""
    remarks = []

    def mark(talk, key):
        if talk.facts.get(key):
            return "ok"
        reason = (talk.peer.name, talk.peer.limits.get(key) or talk.error or "it did not come to that")
        if reason not in remarks:
            remarks.append(reason)
        return f"no [{remarks.index(reason) + 1}]"

    rows = [("", "agent received", "ping", f"idle {talks[0].hold} s, ping", "its push", "our push")]
    for talk in talks:
        facts = talk.facts
        ping, after = facts.get("ping_ms"), facts.get("ping_after_ms")
        rows.append((
            f"{talk.dialer.name} -> {talk.listener.name}",
            shorten(facts["agent"], 44) if facts.get("agent") else mark(talk, "agent"),
            "-" if ping is None else f"{ping:.2f} ms",
            mark(talk, "ping_after_ms") if after is None else f"ok, {after:.2f} ms",
            mark(talk, "their_push"),
            mark(talk, "our_push"),
        ))
    widths = [2 + max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print("\nidentify and ping (noise, yamux):")
    for row, talk in zip(rows, [None, *talks]):
        line = "".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip()
        print(coloured(line, talk.outcome) if talk and talk.outcome != "ok" else line)
    for number, (name, reason) in enumerate(remarks, 1):
        print(f"[{number}] {name}: {reason}")
