"""A run that is killed at any point, and run again, ends as a run that was not."""

import json

import pytest

FIRST, LAST = "2020-01-01", "2020-01-04"


def status(home):
    """The exit code and the lines of `storepipe status`."""
    done = home.command("status", "--from", FIRST, "--to", LAST, "--format", "json")
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("new_home", "finished_steps"),
    [
        ("azure", 14),
        *(
            pytest.param(*others, marks=pytest.mark.slow)
            for others in [("azure", 1), ("azure", 4), ("azure", 17)]
        ),
    ],
    indirect=["new_home"],
)
def test_a_killed_run_is_repaired_by_the_next(shop_url, clean, new_home, finished_steps):
    home = new_home(shop_url)
    process = home.start("run", "--from", FIRST, "--to", LAST)
    for line in process.stderr:
        if line.startswith(f"[{finished_steps:>2}/"):
            break
    process.kill()
    process.communicate()
    assert process.returncode == -9
    code, lines = status(home)
    assert code == 1
    assert ("failed", "The process of this run ended before the run did.") in {
        (line["state"], line["reason"]) for line in lines
    }
    assert {line["state"] for line in lines} <= {"failed", "missing"}

    home.run(FIRST, LAST)

    assert home.tables() == clean
    assert status(home) == (0, [])
