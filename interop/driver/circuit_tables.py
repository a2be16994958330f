"""What people see of circuits."""

import re

from driver.party import PEERS
from driver.scenarios import SCENARIOS
from driver.terminal import WORDS, coloured, progress, shorten


def print_cell(number, count, cell):
    head = f"[{number:>{len(str(count))}}/{count}] {cell.scenario:<22} {cell.triple:<26}"
    word = coloured(f"{WORDS[cell.outcome]:<8}", cell.outcome)
    if not cell.works:
        detail = shorten(cell.defect["reason"]) if cell.expected else cell.error
    elif "echo" in cell.report:
        detail = f"connect {cell.report['connect_ms']:6.1f}  echo {cell.report['echo']['ms']:6.1f} ms"
        detail += f"  {shorten(brief(cell.saw), 90)}" if cell.saw else ""
    else:
        detail = cell.saw or ""
    progress(f"{head} {word} {detail}  ({cell.seconds:.1f} s)")
    for name, lines in cell.tails.items():
        progress(f"    {name}:")
        for line in lines:
            progress(f"      {line}")


def brief(said):
    """What a party said, in one line, without the long names."""
    return re.sub(r"(/ip4/\S*)?12D3KooW(\w{40})(\w{4})(/p2p-circuit\S*)?", r"..\3", " ".join((said or "").split()))


class Remarks:
    """Numbers for what isn't plainly ok, and a line below for each."""

    def __init__(self):
        self.texts = []

    def mark(self, cell):
        if cell.outcome == "ok":
            return WORDS["ok"]
        if cell.outcome == "failed":
            text = cell.error or "not run"
        else:
            text = f"{cell.culprit.name}: {cell.defect['reason']} ({cell.defect['reference']})"
            if cell.outcome == "unexpected":
                text = "worked, though a defect is declared: " + text
        if (cell.outcome, text) not in self.texts:
            self.texts.append((cell.outcome, text))
        return f"{WORDS[cell.outcome]} [{self.texts.index((cell.outcome, text)) + 1}]"

    def show(self):
        for number, (outcome, text) in enumerate(self.texts, 1):
            print(coloured(f"[{number}]", outcome) + f" {text}")


def print_tables(cells):
    remarks = Remarks()
    for scenario, what in SCENARIOS.items():
        these = [cell for cell in cells if cell.scenario.split()[0] == scenario]
        if not these:
            continue
        print(f"\n{scenario}: {what}")
        if scenario == "circuit":
            print_matrix(these, remarks)
        elif scenario == "autonat":
            print_autonat(these, remarks)
        else:
            for cell in these:
                part = " ".join(cell.scenario.split()[1:])
                line = f"  {part:<10}{cell.triple:<28}" if part else f"  {cell.triple:<28}"
                line += coloured(f"{remarks.mark(cell):<12}", cell.outcome) + shorten(brief(cell.saw), 150)
                print(line.rstrip())
    print("\nThree names: relay/listener/dialer; two: server/client.")
    remarks.show()
    print_parts(cells)


def print_matrix(cells, remarks):
    """Rows: relay and listener. Columns: dialer."""
    dialers = list(dict.fromkeys(cell.roles["dialer"].name for cell in cells))
    places = {(c.roles["relay"].name, c.roles["listener"].name, c.roles["dialer"].name): c for c in cells}
    marks = {place: remarks.mark(cell) for place, cell in places.items()}
    width = 2 + max(map(len, [*marks.values(), *dialers]))
    print(f"  {'relay':<10}{'listener':<10}" + "".join(f"{'<- ' + name:<{width + 3}}" for name in dialers).rstrip())
    for relay, listener in dict.fromkeys(place[:2] for place in places):
        line = f"  {relay:<10}{listener:<10}"
        for dialer in dialers:
            place = (relay, listener, dialer)
            text = f"{marks.get(place, '-'):<{width + 3}}"
            line += coloured(text, places[place].outcome) if place in marks else text
        print(line.rstrip())


def print_autonat(cells, remarks):
    """Rows: server and client. Columns: version and whether the client can be reached."""
    columns = list(dict.fromkeys(cell.scenario for cell in cells))
    pairs = dict.fromkeys((cell.roles["server"].name, cell.roles["client"].name) for cell in cells)
    width = 2 + max(map(len, columns)) - len("autonat ")
    print(f"  {'server':<10}{'client':<10}" + "".join(f"{c.split(' ', 1)[1]:<{width}}" for c in columns).rstrip())
    for server, client in pairs:
        line = f"  {server:<10}{client:<10}"
        for column in columns:
            for cell in cells:
                if (cell.scenario, cell.roles["server"].name, cell.roles["client"].name) == (column, server, client):
                    line += coloured(f"{remarks.mark(cell):<{width}}", cell.outcome)
        print(line.rstrip())


def print_parts(cells):
    """Rows: scenario and part in it. Columns: who has that part, and in how many cells; not ok: how many of them are."""
    order = {name: number for number, name in enumerate(PEERS)}
    names = sorted({party.name for cell in cells for party in cell.roles.values()}, key=lambda name: order.get(name, -1))
    rows = {}
    for cell in cells:
        scenario = " ".join(cell.scenario.split()[:2])
        for role, party in cell.roles.items():
            row = rows.setdefault((scenario, role), {name: [] for name in names})
            row[party.name].append(cell)
    width = 15
    print(f"\nAll of it by part, and in how many cells:\n  {'':<18}{'':<10}" + "".join(f"{n:<{width}}" for n in names).rstrip())
    before = None
    for (scenario, role), row in sorted(rows.items(), key=lambda item: list(SCENARIOS).index(item[0][0].split()[0])):
        line = f"  {'' if scenario == before else scenario:<18}{role:<10}"
        before = scenario
        for these in row.values():
            worst = next((c.outcome for c in these if c.outcome != "ok"), "ok")
            well = sum(c.outcome == "ok" for c in these)
            text = "-" if not these else f"ok ({well})" if well == len(these) else f"{well} of {len(these)} ok"
            line += coloured(f"{text:<{width}}", worst)
        print(line.rstrip())
