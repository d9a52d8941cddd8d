"""Options that mean the same in every command."""

from pathlib import Path
from typing import Annotated, Literal

import typer

RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="a run directory, which training wrote")]

Device = Annotated[
    str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps; auto takes the best there is")
]
Seed = Annotated[int, typer.Option(metavar="INTEGER", help="image i has its own seed, derived from this one")]
Sampler = Annotated[str | None, typer.Option(metavar="NAME", help="ddim, ddpm or heun  [default: the run's own]")]
SamplingSteps = Annotated[
    int | None, typer.Option("--steps", metavar="K", help="steps of the walk  [default: the sampler's own number]")
]
Guidance = Annotated[
    float | None,
    typer.Option(metavar="W", help="0 is unconditional, 1 plainly conditional, above 1 exaggerates"),
]
CheckpointImages = Annotated[
    int | None,
    typer.Option("--checkpoint", metavar="IMAGES", help="images seen when it was saved  [default: the last]"),
]
WeightsFrom = Annotated[
    Literal["ema", "raw"] | None,
    typer.Option(
        metavar="ema|raw", help="the running average of the weights, or the weights as trained  [default: ema]"
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="accept a directory that holds files")]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on standard output, and nothing else there")]
Debug = Annotated[bool, typer.Option("--debug", help="show the traceback of an error")]
Lang = Annotated[
    str | None, typer.Option("--lang", metavar="en|ja", help="language of the report  [default: the system's]")
]
