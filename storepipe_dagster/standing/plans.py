"""What the steps of a run make, check and wait for."""

from collections.abc import Container

import dagster as dg
from dagster._core.snap import ExecutionPlanSnapshot


class Plan:
    """What the steps of a run make, and which they wait for."""

    def __init__(self, plan: ExecutionPlanSnapshot) -> None:
        self.steps: dict[dg.AssetKey, str] = {}
        self._checked: dict[str, set[dg.AssetKey]] = {}
        self._before = plan.step_deps
        self._assets: dict[str, set[dg.AssetKey]] = {}
        for step in plan.steps:
            if step.key not in plan.step_keys_to_execute:
                continue
            for key in step.entity_keys:
                if isinstance(key, dg.AssetKey):
                    self.steps[key] = step.key
                    self._assets.setdefault(step.key, set()).add(key)
                else:
                    self._checked.setdefault(step.key, set()).add(key.asset_key)
                    self._assets.setdefault(step.key, set()).add(key.asset_key)

    @property
    def touched(self) -> set[dg.AssetKey]:
        """All assets that are to be made or checked."""
        return self.steps.keys() | set().union(*self._checked.values())

    def checked_by(self, step: str) -> set[dg.AssetKey]:
        """The assets whose checks a step runs."""
        return self._checked.get(step, set())

    def assets_of(self, step: str) -> set[dg.AssetKey]:
        """What a step makes or checks."""
        return self._assets.get(step, set())

    def culprits(self, step: str, failed: Container[str]) -> list[str]:
        """The failed steps that a step waited for, directly or through others."""
        found: set[str] = set()
        seen, waiting = {step}, [step]
        while waiting:
            for before in self._before.get(waiting.pop(), ()):
                if before in failed:
                    found.add(before)
                elif before not in seen:
                    seen.add(before)
                    waiting.append(before)
        return sorted(found)
