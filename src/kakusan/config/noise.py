"""How noise grows, and what the output of a network means, told apart by ``kind``."""

from typing import Annotated, Literal

from pydantic import Field

from kakusan.config.values import Beta, Count, Positive, Section, Share, choice


class BetaChain(Section):
    """A chain whose β runs between two ends."""

    kind: Literal["linear", "quadratic"] = Field(
        default="linear", description="how noise grows: what is linear is β, or √β"
    )
    steps: Count = Field(default=1000, description="T, the noising steps of the chain")
    beta_start: Beta = Field(default=1e-4, description="β, the variance added, of the first step")
    beta_end: Beta = Field(default=0.02, description="β of the last step; 0.02 suits 1000 steps, fewer need more")


class CosineChain(Section):
    """A chain whose ᾱ falls as a squared cosine."""

    kind: Literal["cosine"] = Field(default="cosine", description="how noise grows: the signal falls as a cosine")
    steps: Count = Field(default=1000, description="T, the noising steps of the chain")
    s: Share = Field(default=0.008, description="offset that keeps the first steps from being too small")


class OwnChain(Section):
    """A chain given by its betas."""

    kind: Literal["betas"] = Field(default="betas", description="how noise grows: as listed")
    betas: tuple[Beta, ...] = Field(min_length=1, description="β of every step, the cleanest first")


class EDMSchedule(Section):
    """Noise piled upon data of unchanged scale."""

    kind: Literal["edm"] = Field(default="edm", description="how noise grows: as the seventh power of time")
    sigma_max: Positive = Field(default=80.0, description="the largest noise level, in units of the pixels' [-1, 1]")


class FlowSchedule(Section):
    """The straight line from data to noise."""

    kind: Literal["rectified_flow"] = Field(
        default="rectified_flow", description="how noise grows: linearly, as signal falls"
    )


class PlainParametrization(Section):
    """A parametrization without fields."""

    kind: Literal["epsilon", "x0", "v", "flow"] = Field(default="v", description="what the network's output means")


class EDMParametrization(Section):
    """Inputs, outputs and targets of unit variance at every noise level."""

    kind: Literal["edm"] = Field(default="edm", description="what the network's output means")
    sigma_data: Positive = Field(
        default=0.5, description="standard deviation of the data, in units of the pixels' [-1, 1]"
    )


Schedule = Annotated[
    BetaChain | CosineChain | OwnChain | EDMSchedule | FlowSchedule, Field(discriminator="kind"), choice("cosine")
]
Parametrization = Annotated[PlainParametrization | EDMParametrization, Field(discriminator="kind"), choice("v")]
