"""The standing list: which days of which assets are failed or missing, why, and what mends it.

It is made anew from Dagster's instance each time, so a day that was repaired is no more in it. What
counts is the last run that was to make a day, and whether another has made it since:

- ``failed``: its own step failed, or a blocking check on it did or was not made, or the run's
  process ended.
- ``missing``: it was never made; no run was to, or a run did not come to it. Or it was made, and a
  roll back took it away, or it does not exist any more in the lake or in the database.
- ``stale``: it is there, but the last run that was to make it again did not come to it.
- ``in progress``: a run that has not ended is to make it.

In the order in which one knows the other:

- ``troubles``  what can be the matter with a day of an asset
- ``plans``     what the steps of a run make, check and wait for
- ``runs``      what a run left undone, and why
- ``made``      when and by which run everything was made last, or taken away
- ``existing``  what exists in the lake and in the database
- ``lines``     days with the same trouble in one line, with the command that mends them
- ``standing``  all of it, for an instance

What a failure means is in ``failures``; how the list is shown, in ``status_command`` and
``standing_checks``.
"""
