"""Medians with their spread, as a Markdown table."""

import statistics


def spread(values, digits=2, unit=1):
    """`median (least–most)` in units of `unit`, or the one value where all are the same."""
    median, least, most = (
        f"{value / unit:,.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return median if least == most else f"{median} ({least}–{most})"


def markdown(head, rows):
    """A table whose first column is text and whose others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
