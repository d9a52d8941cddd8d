"""What it takes to draw: weights to fetch, and memory, counted without computing anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kakusan.config.names import HUB
from kakusan.devices import memory_of, resolve
from kakusan.errors import KakusanError, reason_of
from kakusan.interop.hub import why
from kakusan.interop.loading import quietly
from kakusan.stable_diffusion.counting import counted
from kakusan.stable_diffusion.extras import Extras
from kakusan.stable_diffusion.fetching import Files, fetched, fetched_network
from kakusan.stable_diffusion.kinds import family_of
from kakusan.stable_diffusion.memory import Memory
from kakusan.stable_diffusion.pipelines import GUIDANCE
from kakusan.stable_diffusion.request import Request

_PARTS = ("text_encoder", "text_encoder_2", "unet", "vae", "safety_checker")
_SPARING = ({"tiling": True}, {"offload": "model"}, {"offload": "sequential"})  # slices spare nothing of one image


@dataclass(frozen=True)
class Needs:
    """What it takes to draw.

    Attributes:
        parameters: Weights of every part, by number.
        download: Bytes that are to be fetched first; 0 where all is here.
        weights: Bytes of all weights.
        memory: The most bytes at a time: weights that lie on the device, and what is computed.
        memory_there: Bytes of the device; None where it does not say.
        images, height, width: Drawn at a time, and how large.
        device, dtype: Where, and by weights of which type.
        advice: What to do where it does not fit.
    """

    parameters: Mapping[str, int]
    download: int
    weights: int
    memory: int
    memory_there: int | None
    images: int
    height: int
    width: int
    device: str
    dtype: str
    advice: str | None

    def as_dict(self) -> dict[str, Any]:
        """Returns it for a JSON document."""
        return asdict(self)

    def in_words(self) -> dict[str, Any]:
        """Returns it as people write it, by what it is called."""
        there = "" if self.memory_there is None else f" of {_in_words(self.memory_there)}"
        fits = "" if self.memory_there is None else ", fits" if self.memory <= self.memory_there else ", does not fit"
        return {
            **{name.replace("_", " "): f"{count:,} weights" for name, count in self.parameters.items()},
            "download": _in_words(self.download) if self.download else "nothing: it is here",
            "weights": f"{_in_words(self.weights)} in {self.dtype}",
            "at a time": f"{self.images} × {self.width}×{self.height} pixels",
            "memory": f"{_in_words(self.memory)}{there} on {self.device}{fits}",
            "advice": self.advice,
        }


def planned(
    name: str,
    request: Request,
    extras: Extras,
    memory: Memory,
    device: str = "auto",
    *,
    config: str | Path | None = None,
    offline: bool = False,
) -> Needs:
    """Says what it takes to draw; nothing is loaded but configurations, and no weight is fetched.

    The pipeline is built and called without numbers (torch's device ``meta``), and what lives at the same time is
    summed. What a GPU's driver takes for itself, half a GiB or so, comes on top.

    Args:
        name, request, extras, memory, device, config, offline: What is to be drawn, and how.

    Raises:
        KakusanError: The pipeline cannot be found, or its configuration not be read.
    """
    where = resolve(device)
    memory.require(where)
    dtype = memory.dtype_on(where)
    half = dtype == torch.float16
    drawer = _pipeline(name, config, offline, half)
    others = [_control(it, offline) for it, _ in extras.controls]
    others += [_pipeline(it, None, offline, half) for it in [extras.refiner] if it is not None]
    loras = [file for it, _ in extras.loras if (file := Path(it).expanduser()).is_file()]
    beside = sum(file.stat().st_size for file in loras) + sum(it.bytes(dtype) for it in others)
    scene = _Scene(drawer.parts, request, dtype, beside)
    there, needed = memory_of(where), scene.peak(memory)
    return Needs(
        {part: sum(it.numel() for it in module.parameters()) for part, module in drawer.parts.items()},
        sum(it.bytes(dtype) for it in (drawer, *others) if not it.here),
        drawer.bytes(dtype) + beside,
        needed,
        there,
        scene.images,
        scene.size[0],
        scene.size[1],
        str(where),
        str(dtype).removeprefix("torch."),
        None if there is None or needed <= there else _advice(scene, memory, there, where.type),
    )


@dataclass(frozen=True)
class _Found:
    """Networks of which the configurations are known.

    Attributes:
        parts: They, on no device, by name.
        here: Whether their weights are on this machine.
    """

    parts: Mapping[str, nn.Module]
    here: bool

    def bytes(self, dtype: torch.dtype) -> int:
        """Returns how much their weights take."""
        return sum(_bytes(it, dtype) for it in self.parts.values())


class _Scene:
    """What is computed at a time, on no device.

    Args:
        parts: Of the pipeline.
        request: What is asked for.
        dtype: Of the weights.
        beside: Bytes of weights beside those of the parts.
    """

    def __init__(self, parts: Mapping[str, nn.Module], request: Request, dtype: torch.dtype, beside: int) -> None:
        with quietly():
            self.parts = {part: module.to(dtype).eval() for part, module in parts.items()}
        self.dtype, self.beside = dtype, beside
        unet, vae = self._config("unet"), self._config("vae")
        self._factor = 2 ** (len(vae["block_out_channels"]) - 1)
        own = unet["sample_size"]
        usual = (own, own) if isinstance(own, int) else own
        height, width = (it or side * self._factor for it, side in zip(request.size, usual, strict=True))
        self.size = height, width
        self.images = min(request.n, request.batch)
        guidance = GUIDANCE if request.guidance is None else request.guidance
        self._rows = self.images * (2 if guidance > 1 else 1)

    def fewer(self) -> _Scene:
        """Returns it with one image at a time."""
        other = object.__new__(_Scene)
        other.__dict__ |= self.__dict__ | {"images": 1, "_rows": self._rows // self.images}
        return other

    def peak(self, memory: Memory) -> int:
        """Returns the most bytes that lie on the device at a time."""
        weights = {part: _bytes(it, self.dtype) for part, it in self.parts.items()}
        spared = memory.offload != "none"
        drawn = []
        for part, live in (("unet", self._denoised()), ("vae", self._decoded(memory))):
            if memory.offload == "sequential":
                held = max(_bytes(it, self.dtype) for it in self.parts[part].modules() if not list(it.children()))
            else:
                held = weights[part] if spared else sum(weights.values())
            drawn.append(held + live + (0 if spared and part == "vae" else self.beside))
        return max(drawn)

    def _denoised(self) -> int:
        """Returns the bytes that a call of the U-Net computes with at a time; attention in slices takes no less than
        fused attention does."""
        unet: Any = self.parts["unet"]
        config = unet.config
        height, width = (side // self._factor for side in self.size)
        given: dict[str, Any] = {
            "encoder_hidden_states": self._empty(self._rows, 77, config["cross_attention_dim"]),
        }
        if config.get("addition_embed_type") == "text_time":
            wide = config["projection_class_embeddings_input_dim"]
            told = 6 if (wide - 6 * config["addition_time_embed_dim"]) in self._pooled_widths() else 5
            pooled = wide - told * config["addition_time_embed_dim"]
            given["added_cond_kwargs"] = {
                "text_embeds": self._empty(self._rows, pooled),
                "time_ids": self._empty(self._rows, told),
            }
        x = self._empty(self._rows, config["in_channels"], height, width)
        with counted() as live:
            unet(x, torch.zeros((), device="meta"), **given)
        return live.most + x.nbytes

    def _decoded(self, memory: Memory) -> int:
        """Returns the bytes that the decoder computes with at a time."""
        vae: Any = self.parts["vae"]
        vae.use_slicing, vae.use_tiling = memory.slicing, memory.tiling
        height, width = (side // self._factor for side in self.size)
        with counted() as live:
            vae.decode(self._empty(self.images, vae.config["latent_channels"], height, width))
        # SDXL's is brought to float32 while it decodes, where half of it would overflow.
        upcast = "text_encoder_2" in self.parts and vae.config.get("force_upcast") and self.dtype == torch.float16
        return live.most * 2 + _bytes(vae, self.dtype) if upcast else live.most

    def _pooled_widths(self) -> list[int]:
        second = self.parts.get("text_encoder_2")
        return [] if second is None else [int(second.config.projection_dim)]  # type: ignore[union-attr, arg-type]

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=self.dtype, device="meta")

    def _config(self, part: str) -> Any:
        return self.parts[part].config


def _advice(scene: _Scene, memory: Memory, there: int, device: str) -> str:
    """Returns the first thing that makes it fit, alone or with those before it."""
    said: list[str] = []
    if scene.images > 1:
        scene = scene.fewer()
        said.append("--batch 1")
        if scene.peak(memory) <= there:
            return said[0]
    for more in _SPARING:
        (field, value), *_ = more.items()
        if field == "offload":
            if device == "cpu":
                continue
            said = [it for it in said if not it.startswith("--offload")]
        memory = replace(memory, **more)
        said.append(f"--{field}" if value is True else f"--{field} {value}")
        if scene.peak(memory) <= there:
            return " ".join(said)
    return "smaller pictures, or a machine with more memory"


def _pipeline(name: str, config: str | Path | None, offline: bool, half: bool) -> _Found:
    """Returns a pipeline; the configurations of one of the hub are fetched."""
    files = _files(name, offline, half)
    if files is None:
        return _Found(_parts(name, name.removeprefix(HUB)), here=False)
    if files.single and config is None:
        raise KakusanError(
            f"{name} does not say how its parts are built: give the directory of a pipeline of the same shape "
            "(--model-config DIR)"
        )
    parts = _parts(name, str(Path(config).expanduser() if files.single and config is not None else files.path))
    # Of what was planned before, and not fetched, the configurations are here.
    return _Found(parts, here=not name.startswith(HUB) or all(map(files.weights_of, parts)))


def _control(name: str, offline: bool) -> _Found:
    """Returns a ControlNet; the configuration of one of the hub is fetched."""
    try:
        place = str(fetched_network(name, "ControlNet", offline=True))
    except KakusanError:
        if not name.startswith(HUB) or offline:
            raise
        place = name.removeprefix(HUB)
    return _Found({"controlnet": _meta("ControlNetModel", place, "")}, any(Path(place).glob("*.safetensors")))


def _files(name: str, offline: bool, half: bool) -> Files | None:
    """Returns where a pipeline lies; None for one of the hub of which nothing is here."""
    if not name.startswith(HUB):
        return fetched(name)
    try:
        return fetched(name, offline=True, half=half)
    except KakusanError:
        if offline:
            raise
    return None


def _parts(name: str, place: str) -> dict[str, nn.Module]:
    """Returns the parts of a pipeline that hold weights, on no device."""
    from diffusers import DiffusionPipeline

    try:
        with quietly():
            index = DiffusionPipeline.load_config(place)
    except (OSError, ValueError) as error:
        if name == f"{HUB}{place}":
            raise KakusanError(why(place, error.__cause__ or error, offline=False)) from error
        raise KakusanError(
            f"{name} is no pipeline of diffusers: {reason_of(error)} (give the directory that holds model_index.json)"
        ) from error
    family_of(str(index.get("_class_name")), name)
    kinds = {part: index[part][1] for part in _PARTS if isinstance(index.get(part), list) and index[part][0]}
    return {part: _meta(kind, place, part) for part, kind in kinds.items()}


def _meta(kind: str, place: str, folder: str) -> nn.Module:
    """Returns a network of diffusers or transformers as its configuration says, without numbers."""
    import diffusers
    import transformers
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker

    try:
        with torch.device("meta"), quietly():
            if kind == "StableDiffusionSafetyChecker":
                config = transformers.CLIPConfig.from_pretrained(place, subfolder=folder)
                network: nn.Module = StableDiffusionSafetyChecker(config)
            elif hasattr(transformers, kind):
                made = getattr(transformers, kind)
                network = made(made.config_class.from_pretrained(place, subfolder=folder))
            else:
                made = getattr(diffusers, kind)
                network = made.from_config(made.load_config(place, subfolder=folder or None))
            return network
    # Of a file, of the hub, of a configuration: its errors have no common class.
    except Exception as error:
        raise KakusanError(f"the {folder or kind} of {place} has no configuration: {reason_of(error)}") from error


def _bytes(module: nn.Module, dtype: torch.dtype) -> int:
    return sum(it.numel() for it in module.parameters()) * dtype.itemsize


def _in_words(size: int) -> str:
    return f"{size / 2**30:.3g} GiB" if size >= 2**27 else f"{size / 2**20:.3g} MiB"
