"""Dagster's daemon, run as ever but with a quicker clock: `python quick_daemon.py run …`.

Its waits are constants of half a minute or a minute; tests would spend their time in them. What it
does between two waits is Dagster's own.
"""

from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._daemon import asset_daemon, controller, sensor
from dagster._daemon.cli import main
from dagster._scheduler import scheduler

LOOP_SECONDS = 0.5
TICK_SECONDS = 2  # of sensors, whatever interval they ask for


def is_soon(state, remote_sensor, minimum_allowed_min_interval=None):
    del minimum_allowed_min_interval
    elapsed = sensor.get_elapsed(state)
    return remote_sensor is not None and elapsed is not None and elapsed < TICK_SECONDS


if __name__ == "__main__":
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = LOOP_SECONDS  # the one of backfills
    sensor.MIN_INTERVAL_LOOP_TIME = asset_daemon.MIN_INTERVAL_LOOP_SECONDS = LOOP_SECONDS
    sensor.is_under_min_interval = asset_daemon.is_under_min_interval = is_soon
    scheduler._get_next_scheduler_iteration_time = lambda start: start + LOOP_SECONDS
    QueuedRunCoordinator.dequeue_interval_seconds = LOOP_SECONDS
    main()
