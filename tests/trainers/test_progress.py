"""What people see of a training."""

import io

import pytest
import rich.console

from trainers.loop.progress import Progress


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.12345678, "0.1235"), (97.5, "97.5000"), (3.2e29, "3.2e+29"), (-7e8, "-7e+08"), (12, "12")],
)
def test_a_result_is_short_however_large_it_is(value, shown):
    said = io.StringIO()
    Progress(1, console=rich.console.Console(file=said, width=60)).table("end", {"loss": value})
    row = next(line for line in said.getvalue().splitlines() if "loss" in line)
    assert row.split("│")[2].strip() == shown
