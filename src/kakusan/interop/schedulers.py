"""To and from diffusers: what a scheduler's configuration says of noise, and of what a network's output means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from kakusan import schedules
from kakusan.errors import KakusanError
from kakusan.parametrization import X0, Epsilon, Parametrization, V
from kakusan.schedules import Chain, Schedule

_MEANINGS: Mapping[str, type[Parametrization]] = {"epsilon": Epsilon, "sample": X0, "v_prediction": V}
_NAMED = {"linear": "linear", "scaled_linear": "quadratic"}
# What other schedulers of diffusers have, and chains that preserve variance have not.
_OTHERS = ("sigma_data", "shift", "base_shift", "beta_min", "beta_max", "use_flow_sigmas", "snr_shift_scale")
_ENDLESS = 1e6  # pixels, which dynamic thresholding here does not limit
_CLOSE = 1e-6  # of betas that float32 rounded


def chain_of(config: Mapping[str, Any]) -> Chain:
    """Returns the chain of a scheduler's configuration.

    Raises:
        KakusanError: It describes another process, or one that we do not know; the field is named.
    """
    name = config.get("_class_name", "this scheduler")
    require_chain(config, name)
    steps = int(config.get("num_train_timesteps", 1000))
    betas, kind = config.get("trained_betas"), config.get("beta_schedule", "linear")
    if betas is not None:
        return Chain(torch.as_tensor(betas, dtype=torch.float64))
    ends = {"beta_start": config.get("beta_start", 1e-4), "beta_end": config.get("beta_end", 0.02)}
    if kind == "linear":
        return schedules.linear(steps, **ends)
    if kind == "scaled_linear":
        return schedules.quadratic(steps, **ends)
    if kind == "squaredcos_cap_v2":
        return schedules.cosine(steps)
    raise KakusanError(
        f"{name} with beta_schedule={kind!r} is not known here, only linear, scaled_linear, squaredcos_cap_v2 or "
        "trained_betas"
    )


def require_chain(config: Mapping[str, Any], name: str) -> None:
    """Refuses a scheduler's configuration of a process that is no chain that preserves variance.

    Raises:
        KakusanError: It describes another process; the field is named.
    """
    for field in _OTHERS:
        if config.get(field) not in (None, False):
            raise KakusanError(f"{name} with {field} walks no chain that preserves variance: it is not known here")
    if config.get("trained_betas") is None and "beta_schedule" not in config:
        raise KakusanError(f"{name} has no betas: it walks no chain that preserves variance")
    if config.get("rescale_betas_zero_snr"):
        raise KakusanError(
            f"{name} with rescale_betas_zero_snr ends in a β of 1, where nothing is left of the image, and no chain "
            "here does (set it to false)"
        )


def parametrization_of(config: Mapping[str, Any]) -> Parametrization:
    """Returns what the output of a scheduler's network means.

    Raises:
        KakusanError: It is not known here.
    """
    meaning = config.get("prediction_type", "epsilon")
    if meaning not in _MEANINGS:
        raise KakusanError(f"prediction_type={meaning!r} is not known here, only {', '.join(_MEANINGS)}")
    return _MEANINGS[meaning]()


def ddim_config(schedule: Schedule, parametrization: Parametrization, threshold: str) -> dict[str, Any]:
    """Returns the arguments of diffusers' ``DDIMScheduler`` that walks as ours does, by trailing steps that divide the
    chain; where it clips, its ``step`` is to be told ``use_clipped_model_output=True``.

    Args:
        schedule: The chain.
        parametrization: What the network's output means.
        threshold: How predicted pixels are kept in [−1, 1]: ``"none"``, ``"clip"`` or ``"dynamic"``.

    Raises:
        KakusanError: diffusers' scheduler cannot walk so; what it cannot is named.
    """
    if not isinstance(schedule, Chain):
        raise KakusanError(
            f"diffusers' DDIMScheduler walks chains, and {type(schedule).__name__} is none (train with the schedule "
            "linear, quadratic or cosine)"
        )
    meaning = next((name for name, kind in _MEANINGS.items() if type(parametrization) is kind), None)
    if meaning is None:
        raise KakusanError(
            f"diffusers' DDIMScheduler knows ε, x0 and v, and not what {type(parametrization).__name__} predicts"
        )
    return {
        **_betas(schedule),
        "num_train_timesteps": schedule.steps,
        "prediction_type": meaning,
        "clip_sample": threshold == "clip",
        **({"thresholding": True, "sample_max_value": _ENDLESS} if threshold == "dynamic" else {}),
        "set_alpha_to_one": True,
        "timestep_spacing": "trailing",
        "steps_offset": 1,  # of no use to trailing steps; without it, Stable Diffusion's pipelines warn
    }


def _betas(chain: Chain) -> dict[str, Any]:
    """Returns what names a chain's betas, or lists them where no name does."""
    first, last = chain.betas[0].item(), chain.betas[-1].item()
    for theirs, ours in _NAMED.items():
        ends = {"beta_start": first, "beta_end": last}
        if torch.allclose(getattr(schedules, ours)(chain.steps, **ends).betas, chain.betas, rtol=_CLOSE, atol=0):
            return {"beta_schedule": theirs, **ends}
    if chain == schedules.cosine(chain.steps):
        return {"beta_schedule": "squaredcos_cap_v2"}
    return {"trained_betas": chain.betas.tolist()}


def steps_that_divide(chain: Chain, most: int = 10) -> int:
    """Returns the most steps, up to ``most``, that divide a chain: of others diffusers' grid differs from ours."""
    return max(steps for steps in range(1, most + 1) if chain.steps % steps == 0)


def steps_near(chain: Chain, wanted: int) -> int:
    """Returns those steps that divide a chain and are nearest, as a ratio, to so many: by others diffusers' DDIM walks
    from one time to another than it is told the network stands at."""
    divisors = [steps for steps in range(1, chain.steps + 1) if chain.steps % steps == 0]
    return min(divisors, key=lambda steps: abs(math.log(steps / wanted)))
