"""Decides which engines a training run computes features with."""

from dataclasses import dataclass

from retrain.backbones import engines


@dataclass(frozen=True)
class EnginePlan:
    """The engines of a run.

    Attributes:
        primary: Engine of the features for the exported graph's head.
        int8: Whether the run also trains a head on int8 features.
    """

    primary: str
    int8: bool = False

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines in the order in which they run."""
        return (engines.INT8, self.primary) if self.int8 else (self.primary,)


def plan_engines(requested: str, *, int8_export: bool) -> EnginePlan:
    """Returns the engines for a run.

    Args:
        requested: Value of --engine.
        int8_export: Whether a file to export needs a head for int8 features.

    Raises:
        UserError: If there is no such engine, or this machine cannot run it.
    """
    engine = engines.resolve(requested)
    if engine != engines.INT8:
        return EnginePlan(engine, int8=int8_export)
    # The exported graph computes in floating point, so its head needs floating-point features.
    return EnginePlan(engines.resolve(engines.AUTO), int8=True)
