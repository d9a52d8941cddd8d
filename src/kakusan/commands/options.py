"""Options that mean the same in every command."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from kakusan.config.names import GRIDS, SAMPLERS, TAKERS
from kakusan.config.wording import either

FILM_IMAGES = 8

RunDirectory = Annotated[Path, typer.Argument(metavar="RUN", help="a run directory, which training wrote")]

Weights = Annotated[
    Path | None, typer.Option("--weights", metavar="DIR", help="a directory with pretrained weights of your own")
]
Offline = Annotated[bool, typer.Option("--offline", help="never touch the network")]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps; auto takes the best there is")
]
Seed = Annotated[int, typer.Option(metavar="INTEGER", help="image i has its own seed, derived from this one")]
OptionalSeed = Annotated[
    int | None, typer.Option(metavar="INTEGER", help="image i has its own seed, derived from this one  [default: 0]")
]
Like = Annotated[
    Path | None, typer.Option(metavar="IMAGE", help="draw this picture again, as it says itself how it was drawn")
]
Sampler = Annotated[str | None, typer.Option(metavar="NAME", help=f"{either(SAMPLERS)}  [default: the run's own]")]
SamplingSteps = Annotated[
    int | None, typer.Option("--steps", metavar="K", help="steps of the walk  [default: the sampler's own number]")
]
Eta = Annotated[float | None, typer.Option(metavar="ETA", help=f"randomness of {either(TAKERS['eta'])}, from 0 to 1")]
Variance = Annotated[
    Literal["posterior", "beta"] | None,
    typer.Option(metavar="posterior|beta", help=f"noise of a step of {either(TAKERS['variance'])}"),
]
Grid = Annotated[str | None, typer.Option(metavar="NAME", help=f"which times: {either(GRIDS)}")]
Guidance = Annotated[
    float | None,
    typer.Option(metavar="W", help="0 is unconditional, 1 plainly conditional, above 1 exaggerates"),
]
Threshold = Annotated[
    Literal["none", "clip", "dynamic"] | None,
    typer.Option(metavar="none|clip|dynamic", help="how predicted pixels are kept in [-1, 1]"),
]
Batch = Annotated[int | None, typer.Option(metavar="N", help="images drawn at a time")]
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
Trajectory = Annotated[
    bool,
    typer.Option(
        "--trajectory", help=f"write the film strip trajectory.png as well, of the first images, {FILM_IMAGES} at most"
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="accept a directory that holds files")]
Json = Annotated[bool, typer.Option("--json", help="one JSON document on standard output, and nothing else there")]
Debug = Annotated[bool, typer.Option("--debug", help="show the traceback of an error")]
Lang = Annotated[
    str | None, typer.Option("--lang", metavar="en|ja", help="language of the report  [default: the system's]")
]
